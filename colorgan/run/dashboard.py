"""What TensorBoard shows of a run: tags and descriptions of metrics, charts of several metrics, and hyperparameters."""

from collections.abc import Mapping

# What each metric means, in a sentence. `describe` adds the metrics of the gray image.
DESCRIPTIONS = {
    "train/generator/loss": "Sum of the generator's losses, each times its weight in the config.",
    "train/generator/adversarial": (
        "Cross entropy of the critic's answers for generated images; 0.69 is expected where it cannot tell them from "
        "real ones."
    ),
    "train/generator/l1": "Mean absolute difference of generated and real images, whose values are from -1 to 1.",
    "train/generator/palette": "Distance of the colors of generated and real images of a batch.",
    "train/generator/histogram": "Distance, 0 to 1, of the color histograms of generated and real images of a batch.",
    "train/generator/feature": "Squared distance, 0 to 4, of generated and real images in the features of an encoder.",
    "train/generator/gradient_norm": "Norm of the gradient of the generator's loss.",
    "train/generator/learning_rate": "Learning rate of the generator.",
    "train/critic/loss": (
        "Cross entropy of the critic for real plus generated images; 1.39 is expected where it cannot tell them apart."
    ),
    "train/critic/probability_real": (
        "Mean probability of being real that the critic gives to real images; 50% (0.5) is expected where it cannot "
        "tell them from generated ones."
    ),
    "train/critic/probability_fake": (
        "Mean probability of being real that the critic gives to generated images; 50% (0.5) is expected where it "
        "cannot tell them from real ones."
    ),
    "train/critic/gradient_norm": "Norm of the gradient of the critic's loss.",
    "train/critic/learning_rate": "Learning rate of the critic.",
    "train/epoch": "Number of passes over the training images.",
    "train/skipped_steps": "Number of steps that were skipped because a loss or gradient was not finite.",
    "data/bad_records": "Number of training images that could not be read and were replaced.",
    "validation/score": "Quality from 0, the gray image, to 1, the real image, by AuC and color histograms.",
    "validation/psnr": "Peak signal-to-noise ratio in dB; higher is better.",
    "validation/ssim": "Structural similarity, -1 to 1; higher is better.",
    "validation/auc": "Share of pixels with a color error below t, averaged over t from 0 to 150; higher is better.",
    "validation/ciede2000": "Mean color difference CIEDE2000; lower is better, and about 1 is just visible.",
    "validation/colorfulness": "Mean colorfulness; 0 is gray, and best is that of the real images.",
    "validation/delta_colorfulness": "Difference of the mean colorfulness from that of real images; lower is better.",
    "validation/ab_histogram_distance": "Distance of the color histograms of all images; lower is better.",
    "validation/true_colorfulness": "Mean colorfulness of the real images, which is constant.",
    "validation/num_images": "Number of validation images, which is constant.",
    "perf/images_per_second": "Training images per second, over all devices, without validation and checkpoints.",
    "perf/data_wait_fraction": "Fraction of the time, 0 to 1, in which training waited for data; below 0.05 is good.",
    "perf/device_memory_bytes": "Peak memory of one device; on a CPU, of the process.",
    "perf/logging_seconds": "Time for metrics since the last value.",
    "perf/validation_seconds": "Time for validation since the last value.",
    "perf/sampling_seconds": "Time for sample grids since the last value.",
    "perf/checkpoint_seconds": "Time for which checkpoints delayed training since the last value.",
}
# The metrics of the HParams page, and the hyperparameters that it shows at first; others can be selected there.
COMPARED_METRICS = (
    "validation/score",
    "validation/psnr",
    "validation/ssim",
    "validation/auc",
    "validation/ciede2000",
    "validation/colorfulness",
    "validation/ab_histogram_distance",
    "train/epoch",
)
FIRST_HYPERPARAMETERS = (
    "batch_size",
    "image_size",
    "model.encoder",
    "model.width",
    "optimizer.generator_learning_rate",
)
_VALIDATION, _GRAY = "validation/", "validation/gray_"
_CONSTANTS = ("validation/true_colorfulness", "validation/num_images")
_REFERENCE = "validation_reference/"  # the last group of the page
_PROBLEMS = ("data/bad_records", "train/skipped_steps")
_ANY_GROUP = "validation(_reference)?/"  # runs of earlier versions have their constants in the first group
# By category and title, regular expressions of the tags in a chart of the Custom Scalars page. TensorBoard merges the
# charts of all runs: two are one if they are equal.
CHARTS = {
    "Validation": {
        "Score: 0 is the gray image, 1 the real image": ["validation/score$"],
        "PSNR in dB: prediction and gray image": ["validation/psnr$", f"{_ANY_GROUP}gray_psnr$"],
        "SSIM: prediction and gray image": ["validation/ssim$", f"{_ANY_GROUP}gray_ssim$"],
        "AuC: prediction and gray image": ["validation/auc$", f"{_ANY_GROUP}gray_auc$"],
        "Colorfulness: prediction and real image": [
            "validation/colorfulness$",
            f"{_ANY_GROUP}true_colorfulness$",
        ],
        "Distance of color histograms: prediction and gray image": [
            "validation/ab_histogram_distance$",
            f"{_ANY_GROUP}gray_ab_histogram_distance$",
        ],
    },
    "Training": {
        "Losses of the generator, without weights": ["train/generator/(?!loss$|gradient_norm$|learning_rate$)"],
        "Critic's probability that an image is real: 50% is expected": ["train/critic/probability_(real|fake)$"],
        "Norms of gradients": ["train/(generator|critic)/gradient_norm$"],
        "Learning rates": ["train/(generator|critic)/learning_rate$"],
    },
    "Speed": {
        "Images per second": ["perf/images_per_second$"],
        "Fraction of the time spent waiting for data": ["perf/data_wait_fraction$"],
    },
}


def describe(name: str) -> str:
    """The description of the metric `name`; empty if there is none."""
    if name.startswith(_GRAY) and (of_prediction := DESCRIPTIONS.get(_VALIDATION + name.removeprefix(_GRAY))):
        return f"Of the gray images, constant in a run: {of_prediction[0].lower()}{of_prediction[1:]}"
    return DESCRIPTIONS.get(name, "")


def tag(name: str) -> str:
    """The tag of the metric `name`: the name itself, or in another group where the metric is constant."""
    is_constant = name in _CONSTANTS or name.startswith(_GRAY)
    return _REFERENCE + name.removeprefix(_VALIDATION) if is_constant else name


def shown(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics with a card in TensorBoard, where counts of problems have none until there is a problem."""
    return {name: value for name, value in metrics.items() if value or name not in _PROBLEMS}
