"""The network that ships: it colors, it is used where no run is named, and runs start from it."""

import json

import jax
import numpy as np
import pytest
from conftest import run_command
from PIL import Image

import colorgan
from colorgan import sharding
from colorgan.configs import default, gpu, pretrained
from colorgan.errors import UserError
from colorgan.export import _parser
from colorgan.inference import export_model, load_weights, model_flags
from colorgan.models.hints import without_hints
from colorgan.run import weights_file
from colorgan.run.weights_file import SHIPPED
from colorgan.training import build, initial_values


@pytest.fixture(scope="module")
def colorizer():
    return colorgan.Colorizer.default()


@pytest.mark.parametrize("name", ["chelsea", "coffee"])  # a cat, and a cup on a table
def test_it_is_nearer_to_the_real_colors_than_gray_is(colorizer, name):
    data = pytest.importorskip("skimage.data")
    real = getattr(data, name)()
    gray = np.array(Image.fromarray(real).convert("L"))
    errors = [np.abs(image.astype(float) - real).mean() for image in (colorizer(gray), gray[..., None])]
    assert errors[0] < 0.75 * errors[1]


def test_it_is_small_and_has_its_license():
    assert SHIPPED.stat().st_size <= 12 * 10**6
    assert "research" in SHIPPED.with_name("LICENSE").read_text()
    assert "EfficientNet-Lite0" in SHIPPED.with_name("NOTICE").read_text()
    description = export_model.describe(load_weights.load_weights(SHIPPED))
    assert "personal use" in description["license"]  # in every file that is exported from it


def test_a_photograph_is_colored_without_a_run(tmp_path):
    ramp = np.tile(np.arange(60, dtype=np.uint8) * 4, (40, 1))
    Image.fromarray(ramp).save(tmp_path / "old.jpg")
    done = run_command("colorgan.colorize", "old.jpg", cwd=tmp_path)
    assert json.loads(done.stdout.splitlines()[-1])["num_colored"] == 1
    assert "the last one old-colorized.jpg" in done.stderr
    with Image.open(tmp_path / "old-colorized.jpg") as image:
        assert (image.size, image.mode) == ((60, 40), "RGB")


def test_commands_take_it_where_nothing_else_is_named():
    arguments = _parser().parse_args(["--output=x.safetensors"])
    loaded = model_flags.load_generator(arguments)
    assert loaded.checkpoint == export_model.describe(loaded)["checkpoint"] == "shipped"  # it is not of a run
    assert loaded.image_size == model_flags.load_colorizer(arguments).image_size == 128
    arguments.checkpoint = "best"
    for load in (model_flags.load_generator, model_flags.load_colorizer):
        with pytest.raises(UserError, match="^--checkpoint applies to --workdir only"):
            load(arguments)


def test_other_networks_do_not_start_from_it():
    config = default.get_config()
    config.init_from = "shipped"
    gan = build.create_gan(config, "cpu")
    with pytest.raises(UserError, match=r"the generator of shipped \(for --config=pretrained or gpu\) does not fit: "):
        initial_values.load(config, gan, sharding.create_mesh())


@pytest.mark.parametrize("hints", [False, True])
@pytest.mark.parametrize("module", [pretrained, gpu])
def test_runs_start_from_it(module, hints):
    """It is trained further, with or without hints, without the package of the encoder's weights."""
    config = module.get_config()
    config.model.hints = hints
    config.init_from = "shipped"
    initial_values.check_source(config)
    gan = build.create_gan(config, "cpu")
    initial = initial_values.load(config, gan, sharding.create_mesh())
    shipped = weights_file.read(SHIPPED)[0]
    jax.tree.map(np.testing.assert_array_equal, initial, {"generator": shipped if hints else without_hints(shipped)})
