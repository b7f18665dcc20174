"""Synthetic images: the same bytes on every machine, the same scene at every size, varied and colorful."""

import hashlib
import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from colorgan.data.synthetic import canvas
from colorgan.data.synthetic.scenes import create_image

# (index, size, seed): the start of the SHA-256 of the pixels. If these values change, datasets, sample grids and
# benchmark results can no longer be compared with earlier ones.
_GOLDEN = {
    (0, 64, 0): "294700856f73c72cdbde5f07324ab2ed",
    (1, 64, 0): "b836979e57a6d538bba6b6c1347617b5",
    (2, 64, 7): "ee0d57883618e9ebeb231e2d8c54f0e4",
    (3, 64, 1099511627776): "75437c0a1a9b579027d03f777b82b3be",
    (123456789, 64, 1): "46c26415d287677c4f03e2132d940100",
    (0, 32, 3): "42542fd0c8332f1aa5b4851d25375715",
    (1, 32, 3): "e8c75e1d8aa6f1998571abab9dc13c9c",
    (2, 32, 3): "080af909220bbf67c9a176b96b4b15d8",
    (7, 32, 3): "cbebaf2e33c7f479c529a358492ae4dd",
    (8, 32, 3): "be6f68f83536c35ea07efdda7fdb22fc",
    (16, 32, 3): "33b01007c80d37b2bfd09d6011e009c7",
    (27, 32, 3): "afd2b055c00103d6d83d3608ab34a09b",
    (47, 32, 3): "4ddf84e19fe20bfa806b9eb3d7ec0c4a",
    (48, 32, 3): "b5ae0434bb74214d8f235e06066ca39a",
    (50, 32, 3): "a2388f1bf95fe34c36b4ec4c7b53b43e",
    (65, 32, 3): "065b585f0aeff88ade6522703aede9b0",
    (4, 128, 0): "c477304c66a9f1f9205ac3c5c3ab260d",
    (5, 100, 0): "bab8ed6e47a77800114bf455a632bf97",
    (6, 256, 0): "8adcd4d58f76f079dd53f96a6a032c9d",
}


def _colorfulness(image: NDArray[np.uint8]) -> float:
    """The metric of Hasler and Suesstrunk (2003): 0 is gray, 30 to 60 is colorful."""
    red, green, blue = (image[..., channel].astype(np.float64) for channel in range(3))
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    spread = np.hypot(red_green.std(), yellow_blue.std())
    return float(spread + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))


def _luma(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    return image.astype(np.float64) @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("key", _GOLDEN, ids=str)
def test_pixels_have_the_golden_hashes(key: tuple[int, int, int]) -> None:
    index, size, seed = key
    assert hashlib.sha256(create_image(index, size, seed).tobytes()).hexdigest()[:32] == _GOLDEN[key]


@pytest.mark.parametrize("size", [16, 64, 100, 256])
def test_shape_and_type(size: int) -> None:
    image = create_image(5, size)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable


def test_each_index_and_seed_gives_another_image() -> None:
    images = {create_image(index, 32, seed).tobytes() for index in range(40) for seed in range(5)}
    assert len(images) == 200


def test_index_and_seed_are_not_interchangeable() -> None:
    assert not np.array_equal(create_image(1, 32, seed=2), create_image(2, 32, seed=1))
    assert not np.array_equal(create_image(3, 32, seed=0), create_image(0, 32, seed=3))


def test_same_scene_at_twice_the_size() -> None:
    for index in range(48):
        small = create_image(index, 64).astype(np.float64)
        large = create_image(index, 128).astype(np.float64).reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
        assert np.abs(small - large).mean() < 12, index  # two unrelated scenes differ by about 60


def test_every_image_has_contrast_in_gray() -> None:
    for index in range(64):
        assert _luma(create_image(index, 64)).std() > 6, index


def test_images_are_colorful() -> None:
    values = [_colorfulness(create_image(index, 64)) for index in range(64)]
    assert np.mean(values) > 45
    assert min(values) > 20


def test_color_can_be_predicted_from_gray() -> None:
    """Linear regression on the gray image explains most of the variance of warmth (red - blue) of unseen images."""
    images = [create_image(index, 64) for index in range(700)]
    gray = np.stack([_luma(image) for image in images])
    bands = gray.reshape(len(images), 16, -1)  # 16 bands of 4 rows: mean, deviation and roughness
    rough = [np.abs(np.diff(gray, axis=axis))[:, :60].reshape(len(images), 12, -1) for axis in (1, 2)]
    features = [bands.mean(axis=2), bands.std(axis=2), *(band.mean(axis=2) for band in rough)]
    inputs = np.concatenate([*features, *(feature * feature for feature in features), np.ones((700, 1))], axis=1)
    warmth = np.array([float(image[..., 0].mean()) - float(image[..., 2].mean()) for image in images])
    weights = np.linalg.lstsq(inputs[:500], warmth[:500], rcond=None)[0]
    error = np.square(inputs[500:] @ weights - warmth[500:]).mean()
    assert error < 0.5 * warmth[500:].var()


def test_arithmetic_stays_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """A float64 array would cost time. Every layer is drawn with `blend`."""
    types = set()
    blend = canvas.Scene.blend

    def recording(self: canvas.Scene, where, color, cover) -> None:
        types.update({np.asarray(color).dtype, np.asarray(cover).dtype, self.canvas.dtype})
        blend(self, where, color, cover)

    monkeypatch.setattr(canvas.Scene, "blend", recording)
    for index in range(64):
        create_image(index, 32)
    assert types == {np.dtype(np.float32)}


def test_threads_do_not_interfere() -> None:
    expected = [create_image(index, 40).tobytes() for index in range(32)]
    for table in (canvas.texture_of, canvas.dots, canvas._centers, canvas.rgb):
        table.cache_clear()
    found: dict[int, list[bytes]] = {}

    def work(thread: int) -> None:
        found[thread] = [create_image(index, 40).tobytes() for index in range(32)]

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[thread] for thread in range(4)] == [expected] * 4


def test_cached_tables_are_read_only() -> None:
    tables = canvas.texture_of("rock", 32), canvas.dots(32), canvas._centers(32)
    assert not any(table.flags.writeable for table in (*tables, canvas.rgb(0xFFFFFF)))
    assert not canvas._time_colors("day").flags.writeable
