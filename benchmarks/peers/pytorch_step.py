"""Times the baseline's training step in PyTorch. Prints one line of JSON.

    python benchmarks/peers/pytorch_step.py --batch_size=16 [--device=cuda --bf16 --compile --channels_last]

Requires torch, not colorgan. The step is what PyTorch users write for such a GAN (pix2pix): it applies the generator
once, and the critic to the real image, to the detached fake image, and to the fake image again for the generator's
loss. Images are random and in device memory.
"""

import argparse
import json

import torch
import torch_timing
from torch import nn
from torch.nn import functional as F


class Generator(nn.Module):
    """U-Net of 4x4 convolutions of stride 2: [N,1,S,S] to [N,3,S,S]."""

    def __init__(self, image_size: int, width: int, max_width: int) -> None:
        super().__init__()
        widths = [min(width << n, max_width) for n in range(image_size.bit_length() - 2)]
        decoder = [min(2 * w, max_width) for w in reversed(widths)]
        self.encoder = nn.ModuleList(
            nn.Conv2d(i, o, 4, 2, 1, bias=i == 1) for i, o in zip([1, *widths], widths, strict=False)
        )
        self.encoder_norms = nn.ModuleList(nn.BatchNorm2d(w) for w in widths[1:])
        self.bottleneck = nn.Conv2d(widths[-1], max_width, 4, 2, 1)
        inputs = [max_width, *(d + s for d, s in zip(decoder, reversed(widths), strict=True))]
        self.decoder = nn.ModuleList(
            nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False) for i, o in zip(inputs, decoder, strict=False)
        )
        self.decoder_norms = nn.ModuleList(nn.BatchNorm2d(w) for w in decoder)
        self.to_rgb = nn.ConvTranspose2d(inputs[-1], 3, 4, 2, 1)

    def forward(self, gray: torch.Tensor) -> torch.Tensor:
        x, skips = gray, []
        for n, convolution in enumerate(self.encoder):
            x = convolution(x)
            x = F.leaky_relu(self.encoder_norms[n - 1](x) if n else x, 0.2)
            skips.append(x)
        x = F.relu(self.bottleneck(x))
        for n, (convolution, norm) in enumerate(zip(self.decoder, self.decoder_norms, strict=True)):
            x = norm(convolution(x))
            x = F.dropout(x, 0.5) if n < 3 else x
            x = F.relu(torch.cat([x, skips[-1 - n]], 1))
        return torch.tanh(self.to_rgb(x))


class Critic(nn.Module):
    """[N,1,S,S] gray and [N,3,S,S] color to [N,1] logits."""

    def __init__(self, image_size: int, width: int, max_width: int) -> None:
        super().__init__()
        widths = [min(multiple * width, max_width) for multiple in (1, 2, 4, 4)]
        convolutions = [
            nn.Conv2d(i, o, 4, 2, 1, bias=i == 4) for i, o in zip([4, *widths[:2]], widths[:3], strict=True)
        ]
        same = nn.Sequential(nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(widths[2], widths[3], 4, bias=False))
        self.convolutions = nn.ModuleList([*convolutions, same])
        self.norms = nn.ModuleList(nn.BatchNorm2d(w) for w in widths[1:])
        self.hidden = nn.Linear(widths[3] * (image_size // 8) ** 2, 100, bias=False)
        self.hidden_norm = nn.BatchNorm1d(100)
        self.logit = nn.Linear(100, 1)

    def forward(self, gray: torch.Tensor, color: torch.Tensor) -> torch.Tensor:
        x = torch.cat([gray, color], 1)
        for n, convolution in enumerate(self.convolutions):
            x = convolution(x)
            x = F.leaky_relu(self.norms[n - 1](x) if n else x, 0.2)
        return self.logit(F.leaky_relu(self.hidden_norm(self.hidden(x.flatten(1))), 0.2))


def num_values(network: nn.Module) -> int:
    """Returns the number of parameters and BatchNorm statistics."""
    counters = (name for name, _ in network.named_buffers() if name.endswith("num_batches_tracked"))
    return sum(x.numel() for x in network.state_dict().values()) - len(list(counters))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--image_size", type=int, default=128)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--max_width", type=int, default=512)
    torch_timing.add_flags(parser)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    for flag in ("--bf16", "--compile", "--channels_last"):
        parser.add_argument(flag, action="store_true")
    arguments = parser.parse_args()

    device = torch.device(arguments.device)
    on_gpu = device.type == "cuda"
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    layout = torch.channels_last if arguments.channels_last else torch.contiguous_format
    shape = (arguments.image_size, arguments.width, arguments.max_width)
    generator, critic = (network(*shape).to(device, memory_format=layout) for network in (Generator, Critic))
    generator_adam, critic_adam = (
        torch.optim.Adam(network.parameters(), 2e-4, betas=(0.5, 0.999), fused=on_gpu)
        for network in (generator, critic)
    )

    def random_images(channels: int) -> torch.Tensor:
        size = (arguments.batch_size, channels, arguments.image_size, arguments.image_size)
        return (torch.rand(size, device=device) * 2 - 1).to(memory_format=layout)

    gray, real = random_images(1), random_images(3)
    # The generator's loss trains only the generator.
    frozen = {name: parameter.detach() for name, parameter in critic.named_parameters()}
    cross_entropy = F.binary_cross_entropy_with_logits

    def losses() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast(device.type, torch.bfloat16, enabled=arguments.bf16):
            fake = generator(gray)
            on_real, on_fake = critic(gray, real).float(), critic(gray, fake.detach()).float()
            judged = torch.func.functional_call(critic, frozen, (gray, fake)).float()
        critic_loss = cross_entropy(on_real, torch.ones_like(on_real))
        critic_loss = critic_loss + cross_entropy(on_fake, torch.zeros_like(on_fake))
        l1 = (real - fake.float()).abs().mean()
        return critic_loss, cross_entropy(judged, torch.ones_like(judged)) + 100 * l1

    losses_fn = torch.compile(losses) if arguments.compile else losses

    def step() -> torch.Tensor:
        critic_loss, generator_loss = losses_fn()
        critic_adam.zero_grad()
        generator_adam.zero_grad()
        (critic_loss + generator_loss).backward()
        critic_adam.step()
        generator_adam.step()
        return critic_loss + generator_loss

    median = torch_timing.median_seconds(step, arguments)
    result = {
        "peer": "pytorch",
        "version": torch.__version__,
        "images_per_second": arguments.batch_size / median,
        "step_seconds": median,
        "num_values": num_values(generator) + num_values(critic),
        **{key: getattr(arguments, key) for key in ("device", "bf16", "compile", "channels_last")},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
