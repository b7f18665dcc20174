"""Times the baseline's training step in TensorFlow and Keras, in which it was written. Prints one line of JSON.

    python benchmarks/peers/tensorflow_step.py --batch_size=16

Requires tensorflow, not colorgan. Images are random and in device memory. The original code's second sigmoid is left
out: the critic returns a logit.
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import tensorflow as tf  # noqa: E402
from tensorflow import keras  # noqa: E402

layers = keras.layers
_INIT = keras.initializers.RandomNormal(stddev=0.02)


def convolution(width: int, strides: int, use_bias: bool = True) -> keras.layers.Layer:
    return layers.Conv2D(width, 4, strides=strides, padding="same", kernel_initializer=_INIT, use_bias=use_bias)


def up_convolution(width: int, activation: str | None = None, use_bias: bool = True) -> keras.layers.Layer:
    return layers.Conv2DTranspose(
        width, 4, 2, padding="same", kernel_initializer=_INIT, activation=activation, use_bias=use_bias
    )


def create_generator(image_size: int, width: int, max_width: int) -> keras.Model:
    """U-Net of 4x4 convolutions of stride 2: [N,S,S,1] to [N,S,S,3]."""
    widths = [min(width << n, max_width) for n in range(image_size.bit_length() - 2)]
    x = gray = layers.Input((image_size, image_size, 1))
    skips = []
    for n, features in enumerate(widths):
        x = convolution(features, 2, use_bias=n == 0)(x)
        x = layers.BatchNormalization()(x, training=True) if n else x
        x = layers.LeakyReLU(negative_slope=0.2)(x)
        skips.append(x)
    x = layers.ReLU()(convolution(max_width, 2)(x))
    for n, features in enumerate(reversed(widths)):
        x = up_convolution(min(2 * features, max_width), use_bias=False)(x)
        x = layers.BatchNormalization()(x, training=True)
        x = layers.Dropout(0.5)(x, training=True) if n < 3 else x
        x = layers.ReLU()(layers.Concatenate()([x, skips[-1 - n]]))
    return keras.Model(gray, up_convolution(3, "tanh")(x))


def create_critic(image_size: int, width: int, max_width: int) -> keras.Model:
    """[N,S,S,1] gray and [N,S,S,3] color to [N,1] logits."""
    gray, color = layers.Input((image_size, image_size, 1)), layers.Input((image_size, image_size, 3))
    x = layers.Concatenate()([gray, color])
    for n, (multiple, strides) in enumerate(((1, 2), (2, 2), (4, 2), (4, 1))):
        x = convolution(min(multiple * width, max_width), strides, use_bias=n == 0)(x)
        x = layers.BatchNormalization()(x, training=True) if n else x
        x = layers.LeakyReLU(negative_slope=0.2)(x)
    x = layers.BatchNormalization()(layers.Dense(100, use_bias=False)(layers.Flatten()(x)), training=True)
    return keras.Model([gray, color], layers.Dense(1)(layers.LeakyReLU(negative_slope=0.2)(x)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--image_size", type=int, default=128)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--max_width", type=int, default=512)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warm_up", type=int, default=3)
    arguments = parser.parse_args()

    shape = (arguments.image_size, arguments.width, arguments.max_width)
    generator, critic = create_generator(*shape), create_critic(*shape)
    generator_adam, critic_adam = (keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2))
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    size = (arguments.batch_size, arguments.image_size, arguments.image_size)
    gray, real = (tf.random.uniform((*size, channels), -1, 1) for channels in (1, 3))

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as generator_tape, tf.GradientTape() as critic_tape:
            fake = generator(gray)
            on_real, on_fake = critic([gray, real]), critic([gray, fake])
            l1 = tf.reduce_mean(tf.abs(real - fake))
            generator_loss = cross_entropy(tf.ones_like(on_fake), on_fake) + 100 * l1
            critic_loss = cross_entropy(tf.ones_like(on_real), on_real)
            critic_loss += cross_entropy(tf.zeros_like(on_fake), on_fake)
        for tape, loss, network, adam in (
            (generator_tape, generator_loss, generator, generator_adam),
            (critic_tape, critic_loss, critic, critic_adam),
        ):
            gradients = tape.gradient(loss, network.trainable_variables)
            adam.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return generator_loss + critic_loss

    seconds = []
    for _ in range(arguments.warm_up + arguments.steps):
        start = time.perf_counter()
        loss = float(step().numpy())
        seconds.append(time.perf_counter() - start)
    assert loss == loss
    median = statistics.median(seconds[arguments.warm_up :])
    result = {
        "peer": "tensorflow",
        "version": tf.__version__,
        "images_per_second": arguments.batch_size / median,
        "step_seconds": median,
        "num_values": generator.count_params() + critic.count_params(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
