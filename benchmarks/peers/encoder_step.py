"""Times a training step of configs/pretrained.py in PyTorch. Prints one line of JSON.

    python benchmarks/peers/encoder_step.py --batch_size=32 --image_size=128 [--critic] [--device=cuda --bf16 --compile]

Requires torch and efficientnet-lite-pytorch, not colorgan. The loss is the L1 distance of chroma, with --critic also
that of the patch critic, which is then trained too. Weights and images are random, and in device memory.
"""

import argparse
import json
from typing import Any

import torch
import torch_timing
from efficientnet_lite_pytorch import EfficientNet
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

CHANNELS, WIDTHS = (16, 24, 40, 112, 320), (256, 128, 64, 32)


class Generator(nn.Module):
    """U-Net around EfficientNet-Lite0: [N,1,S,S] to chroma [N,2,S,S]."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = EfficientNet.from_name("efficientnet-lite0")
        del self.encoder._fc
        self.encoder._conv_head, self.encoder._bn1 = nn.Identity(), nn.Identity()
        self.encoder._conv_stem = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(1, 32, 3, 2, bias=False))
        self.latent, self.from_latent = nn.Linear(CHANNELS[-1], 512), nn.Linear(512, CHANNELS[-1])
        inputs = [a + b for a, b in zip((CHANNELS[-1], *WIDTHS), (*CHANNELS[-2::-1],), strict=False)]
        self.blocks = nn.ModuleList(self._block(i, o) for i, o in zip(inputs, WIDTHS, strict=True))
        self.to_color = nn.Conv2d(WIDTHS[-1], 2, 3, padding=1)

    @staticmethod
    def _block(inputs: int, outputs: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for i in (inputs, outputs):
            layers += [nn.Conv2d(i, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1)]
        return nn.Sequential(*layers)

    def forward(self, gray: torch.Tensor) -> torch.Tensor:
        x = F.relu6(self.encoder._bn0(self.encoder._conv_stem(gray)))
        skips = []
        for block in self.encoder._blocks:
            y = block(x)
            if y.shape[-1] != x.shape[-1]:
                skips.append(x)
            x = y
        x = x + self.from_latent(F.relu(self.latent(x.mean((2, 3)))))[:, :, None, None]
        for block, skip in zip(self.blocks, reversed(skips), strict=True):
            x = block(torch.cat((F.interpolate(x, scale_factor=2, mode="bilinear"), skip), 1))
        return torch.tanh(F.interpolate(self.to_color(x), scale_factor=2, mode="bilinear"))


def create_critic() -> nn.Sequential:
    """Luma and RGB [N,4,S,S] to logits [N,1,S/8,S/8]."""
    layers: list[nn.Module] = []
    for n, (i, o) in enumerate(((4, 64), (64, 128), (128, 256), (256, 256), (256, 1))):
        convolution = nn.Conv2d(i, o, 4, 2, 1) if n < 3 else nn.Conv2d(i, o, 4)
        layers += [] if n < 3 else [nn.ZeroPad2d((1, 2, 1, 2))]
        layers += [spectral_norm(convolution), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


def num_values(network: nn.Module) -> int:
    """The number of parameters, BatchNorm statistics, and spectral norms with their left vectors."""
    state = {name: x.numel() for name, x in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    return sum(1 if name.endswith("._v") else size for name, size in state.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--image_size", type=int, default=128)
    torch_timing.add_flags(parser)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    for flag in ("--critic", "--bf16", "--compile", "--channels_last"):
        parser.add_argument(flag, action="store_true")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    torch.manual_seed(0)
    options: Any = {"memory_format": torch.channels_last} if arguments.channels_last else {}
    generator, critic = (network.to(device, **options) for network in (Generator(), create_critic()))
    size = (arguments.batch_size, 1, arguments.image_size, arguments.image_size)
    gray = torch.rand(size, device=device) * 2 - 1
    chroma = torch.rand((size[0], 2, *size[2:]), device=device) - 0.5
    adams = [
        torch.optim.AdamW(network.parameters(), 1e-3, fused=device.type == "cuda") for network in (generator, critic)
    ]
    cross_entropy = F.binary_cross_entropy_with_logits

    def color(chroma: torch.Tensor) -> torch.Tensor:
        """Luma, and any three channels: the conversion to RGB is not part of the comparison."""
        return torch.cat((gray, gray, chroma), 1)

    def step() -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=arguments.bf16):
            fake = generator(gray)
            loss = F.l1_loss(fake.float(), chroma)
            if arguments.critic:
                judged = critic(color(fake)).float()
                loss = 100 * loss + cross_entropy(judged, torch.ones_like(judged))
        adams[0].zero_grad(set_to_none=True)
        loss.backward()
        adams[0].step()
        if arguments.critic:
            with torch.autocast(device.type, torch.bfloat16, enabled=arguments.bf16):
                on_real, on_fake = critic(color(chroma)).float(), critic(color(fake.detach())).float()
            critic_loss = cross_entropy(on_real, torch.ones_like(on_real))
            critic_loss = critic_loss + cross_entropy(on_fake, torch.zeros_like(on_fake))
            adams[1].zero_grad(set_to_none=True)
            critic_loss.backward()
            adams[1].step()
        return loss

    step_fn = torch.compile(step) if arguments.compile else step

    seconds = torch_timing.median_seconds(step_fn, arguments)
    result = {
        "peer": "pytorch",
        "version": torch.__version__,
        "images_per_second": arguments.batch_size / seconds,
        "step_seconds": seconds,
        "num_values": num_values(generator) + num_values(critic),
        **{key: getattr(arguments, key) for key in ("critic", "device", "bf16", "compile", "channels_last")},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
