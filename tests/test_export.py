"""An exported file colors like the run, or is not kept."""

import argparse
import dataclasses
import functools
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile

import jax
import numpy as np
import pytest
from conftest import COMMAND_ENVIRONMENT, TINY, run_command

from colorgan import evaluate, export
from colorgan.configs import default
from colorgan.errors import UserError
from colorgan.inference import export_formats, export_model, load_exported, load_run, load_weights, model_flags
from colorgan.inference.colorizer import Colorizer
from colorgan.models import build
from colorgan.models import hints as hint_layers
from colorgan.models.generator import predict
from colorgan.run import migrations, weights_file
from colorgan.version import FILE_VERSION, VERSION_WITHOUT_HINTS

HAS_ONNX = all(importlib.util.find_spec(name) for name in ("jax2onnx", "onnx", "onnxruntime"))
FORMATS = [
    "stablehlo",
    pytest.param("onnx", marks=pytest.mark.skipif(not HAS_ONNX, reason="needs jax2onnx, onnx and onnxruntime")),
]

NEWER = "newer version of colorgan .format 99, .*pip install --upgrade colorgan"


def _arguments(workdir, output, **changes):
    given = {"workdir": workdir, "model": None, "checkpoint": "latest"}
    given |= {"output": output, "format": "stablehlo", "overwrite": False}
    return argparse.Namespace(**given | changes)


@pytest.fixture(scope="module")
def model_file(finished_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model.stablehlo"
    export.main(_arguments(finished_run, path))
    return path


@pytest.mark.parametrize("file_format", FORMATS)
def test_export(finished_run, tmp_path, file_format):
    path = tmp_path / "new" / f"model.{file_format}"
    flags = (f"--workdir={finished_run}", "--checkpoint=latest", f"--output={path}", f"--format={file_format}")
    done = run_command("colorgan.export", *flags)
    description = json.loads(done.stdout.splitlines()[-1])
    assert description["num_bytes"] == path.stat().st_size
    assert list(path.parent.iterdir()) == [path]

    model = load_exported.load(path)
    assert model.image_size == 32
    assert {name: description[name] for name in model.description} == model.description
    assert (description["step"], description["checkpoint"], description["model_output"]) == (6, "latest", "chroma")
    assert (description["input"]["name"], description["input"]["shape"]) == ("gray", ["batch", 32, 32, 1])
    assert (description["output"]["name"], description["output"]["shape"]) == ("rgb", ["batch", 32, 32, 3])
    config = migrations.migrate_config(json.loads((finished_run / "config.json").read_text()))
    assert description["format_version"] == VERSION_WITHOUT_HINTS
    assert description["config_sha256"] == hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
    difference = description["difference"]
    assert 0 < difference["mean"] < difference["max"] < 0.01
    assert (difference["num_noise"], difference["num_validation"]) == (8, 8)

    run = load_run.load_run(finished_run, "latest")
    gray = np.random.default_rng(1).uniform(-1, 1, (5, 32, 32, 1)).astype(np.float32)
    live = np.asarray(jax.jit(functools.partial(predict, run.generator))(run.variables, gray))
    assert np.abs(live - gray).max() > 0.01  # there is some color to compare
    for some in (slice(5), slice(1)):
        rgb = model.predict(gray[some])
        assert (rgb.dtype, rgb.shape) == (np.float32, live[some].shape)
        np.testing.assert_allclose(rgb, live[some], atol=1e-4)


def test_one_file_has_products_for_cpus_and_native_convolutions_elsewhere(model_file):
    with zipfile.ZipFile(model_file) as parts:
        program = jax.export.deserialize(bytearray(parts.read(load_exported.PROGRAM_FILE)))
    assert program.platforms == ("cpu", "cuda", "tpu")
    lowered = jax.jit(program.call).lower(jax.ShapeDtypeStruct((1, 32, 32, 1), np.float32))
    assert "stablehlo.convolution" in lowered.as_text()
    assert "HIGHEST" in lowered.as_text()
    assert "convolution(" not in str(lowered.compile().as_text())


def test_a_model_that_colors_differently_is_refused(finished_run, model_file, tmp_path, monkeypatch):
    _add_to_exported_colors(monkeypatch, 0.6 / 127.5)
    with pytest.raises(UserError, match="differs from the run by up to 0.6 gray levels"):
        export.main(_arguments(finished_run, tmp_path / "model.stablehlo"))
    assert not list(tmp_path.iterdir())


def test_a_model_with_one_wrong_value_is_refused(finished_run, model_file):
    def predict_wrongly(gray):
        rgb = model.predict(gray).copy()
        rgb[-1, 3, 5, 2] = np.nan
        return rgb

    model, run = load_exported.load(model_file), load_run.load_run(finished_run, "latest")
    assert export_model.check(model, run)["max"] < 0.01
    with pytest.raises(UserError, match="up to nan gray levels"):
        export_model.check(dataclasses.replace(model, predict=predict_wrongly), run)


def test_rounding_and_missing_validation_images_are_tolerated(finished_run, tmp_path, monkeypatch, capsys):
    run = shutil.copytree(finished_run, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["data"]["validation"] = f"folder:{tmp_path}/gone"
    (run / "config.json").write_text(json.dumps(config))
    _add_to_exported_colors(monkeypatch, 0.4 / 127.5)
    export.main(_arguments(run, tmp_path / "model.stablehlo"))
    difference = json.loads(capsys.readouterr().out)["difference"]
    assert difference["max"] == pytest.approx(0.4, rel=1e-2)
    assert difference["num_procedural"] == 8


def _add_to_exported_colors(monkeypatch, value):
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *args, cpu, **others: cpu(*args) + np.float32(value))


def test_float16_kernels_take_half_the_size(finished_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(export_formats, "LARGE", 500)
    descriptions = []
    for name in ("safetensors", "safetensors-half"):
        export.main(_arguments(finished_run, tmp_path / f"{name}.safetensors", format=name))
        descriptions.append(json.loads(capsys.readouterr().out))
    (tmp_path / "other").touch()
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1  # others may read it, if the umask allows
    full, half = descriptions
    assert half["num_bytes"] < 0.7 * full["num_bytes"]  # these networks have many vectors
    assert full["difference"]["max"] < 1e-3 < half["difference"]["max"] < 0.5
    variables, _ = weights_file.read(tmp_path / "safetensors-half.safetensors")
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("file_format", ["stablehlo", "safetensors"])
def test_a_bfloat16_run_is_exported_in_float32(finished_run, file_format, tmp_path, capsys):
    run = shutil.copytree(finished_run, tmp_path / "run")
    config = json.loads((run / "config.json").read_text()) | {"precision": "bfloat16"}
    (run / "config.json").write_text(json.dumps(config))
    export.main(_arguments(run, tmp_path / f"model.{file_format}", format=file_format))
    difference = json.loads(capsys.readouterr().out)["difference"]
    assert difference["max"] < 1e-3 < 1e-2 < difference["max_from_own_precision"]


def test_an_existing_file_is_kept(finished_run, model_file):
    before = model_file.read_bytes()
    with pytest.raises(UserError, match="exists already"):
        export.main(_arguments(finished_run, model_file))
    with pytest.raises(UserError, match=r"must end in \.onnx for"):
        export.main(_arguments(finished_run, model_file, format="onnx", overwrite=True))
    with pytest.raises(UserError, match="cannot write --output="):
        export.main(_arguments(finished_run, model_file / "below"))
    assert model_file.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "file_format"),
    [("m.pt", None), ("m", None), ("m.ONNX", None), ("m.safetensors-half", None), ("m.onnx", "safetensors-half")],
)
def test_a_wrong_suffix_is_refused(tmp_path, name, file_format):
    with pytest.raises(UserError, match=r"must end in \.(stablehlo|onnx|safetensors)"):
        export.main(_arguments(tmp_path, tmp_path / name, format=file_format))


def test_the_suffix_chooses_the_format(tmp_path, monkeypatch, capsys):
    def write(loaded, output, file_format):
        output.touch()
        return {"format": file_format}

    monkeypatch.setattr(model_flags, "load_generator", lambda arguments: None)
    monkeypatch.setattr(export_model, "export_model", write)
    for name, flags in (("stablehlo", []), ("onnx", []), ("safetensors", []), ("bin", ["--format=stablehlo"])):
        export.main(export._parser().parse_args([f"--output={tmp_path / 'm'}.{name}", *flags]))
        output = capsys.readouterr()
        assert json.loads(output.out)["format"] == (name if not flags else "stablehlo")
        what = f"writing {tmp_path / 'm'}.{name} and comparing it with the network, which takes up to a minute\n"
        assert output.err == what


def test_a_weights_file_replaces_the_run(finished_run, tmp_path, capsys):
    """It is evaluated like the run, and exported again."""
    file, again = tmp_path / "model.safetensors", tmp_path / "again.safetensors"
    export.main(_arguments(finished_run, file, format="safetensors"))
    first = json.loads(capsys.readouterr().out)
    results = []
    for n, flags in enumerate(([f"--workdir={finished_run}", "--checkpoint=latest"], [f"--model={file}"])):
        flags += ["--data=procedural:12", f"--output={tmp_path / str(n)}"]
        evaluate.main(evaluate._parser().parse_args(flags))
        results.append(json.loads(capsys.readouterr().out))
    assert results[0] == results[1]
    export.main(export._parser().parse_args([f"--model={file}", f"--output={again}", "--format=safetensors"]))
    second = json.loads(capsys.readouterr().out)
    same = ("step", "checkpoint", "image_size", "model_output", "num_bytes")
    assert {key: second[key] for key in same} == {key: first[key] for key in same}
    jax.tree.map(np.testing.assert_array_equal, *(weights_file.read(path)[0] for path in (file, again)))
    for name, flag, message in (("model.onnx", "", "must be a .safetensors file"), (file.name, "best", "--checkpoint")):
        flags = [f"--model={tmp_path / name}", "--data=procedural:12", *([f"--checkpoint={flag}"] if flag else [])]
        with pytest.raises(UserError, match=message):
            evaluate.main(evaluate._parser().parse_args(flags))


def _write_onnx(path, metadata):
    """A valid ONNX file with another network."""
    from onnx import TensorProto, helper, save

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "negation", [value], [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, metadata)
    save(model, path)
    return path


def _flip(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def test_damaged_and_foreign_files_are_refused(model_file, tmp_path):
    data = model_file.read_bytes()
    foreign = tmp_path / "foreign.npz"
    np.savez(foreign, gray=np.zeros(3))
    with zipfile.ZipFile(tmp_path / "newer", "w") as parts:
        parts.writestr(load_exported.META_FILE, json.dumps({"image_size": 32, "jax": "9.9"}))
        parts.writestr(load_exported.PROGRAM_FILE, b"of a later JAX")
    cases = {
        "was not written by colorgan export, or is truncated": data[:-30],
        "is damaged": _flip(data, len(data) // 2),
        "was not written by colorgan export: There is no item": foreign.read_bytes(),
        "which JAX 9.9 wrote": (tmp_path / "newer").read_bytes(),
    }
    for reason, content in cases.items():
        (tmp_path / "model.stablehlo").write_bytes(content)
        with pytest.raises(UserError, match=reason):
            load_exported.load(tmp_path / "model.stablehlo")
    with pytest.raises(UserError, match="cannot read"):
        load_exported.load(tmp_path / "nothing.onnx")


@pytest.mark.skipif(not HAS_ONNX, reason="needs onnx and onnxruntime")
def test_damaged_and_foreign_onnx_files_are_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("no protobuf")
    with pytest.raises(UserError, match="onnxruntime .* cannot read"):
        load_exported.load(path)
    _write_onnx(path, {})
    with pytest.raises(UserError, match="no 'colorgan' in its metadata"):
        load_exported.load(path)


@pytest.mark.parametrize(("missing", "name"), [("flatbuffers", "model.stablehlo"), ("onnxruntime", "model.onnx")])
def test_a_reader_without_its_library_says_what_to_install(tmp_path, monkeypatch, missing, name):
    with zipfile.ZipFile(tmp_path / "model.stablehlo", "w"):
        (tmp_path / "model.onnx").touch()
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UserError, match=f"pip install .*{missing}"):
        load_exported.load(tmp_path / name)


@pytest.mark.parametrize(
    ("missing", "name", "install"),
    [
        ("jax2onnx", "model.onnx", r"'colorgan\[onnx\]' && pip install --no-deps jax2onnx==0\.17\.1"),
        ("flatbuffers", "model.stablehlo", "pip install flatbuffers"),
    ],
)
def test_export_without_its_library_says_what_to_install(finished_run, tmp_path, monkeypatch, missing, name, install):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UserError, match=install):
        export.main(_arguments(finished_run, tmp_path / name, format=name.partition(".")[2]))


def test_the_reader_needs_no_training_code():
    program = "import sys; from colorgan.inference import load_exported; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], env=COMMAND_ENVIRONMENT, capture_output=True, text=True)
    assert not {"jax", "flax", "orbax", "grain", "onnxruntime"} & set(done.stdout.split())
    assert "numpy" in done.stdout


def test_a_file_of_a_newer_version_is_refused(model_file, tmp_path):
    with zipfile.ZipFile(model_file) as parts, zipfile.ZipFile(tmp_path / "newer.stablehlo", "w") as newer:
        description = json.loads(parts.read(load_exported.META_FILE))
        newer.writestr(load_exported.META_FILE, json.dumps(description | {"format_version": 99}))
        newer.writestr(load_exported.PROGRAM_FILE, parts.read(load_exported.PROGRAM_FILE))
    with zipfile.ZipFile(tmp_path / "renamed.stablehlo", "w") as newer:  # keys and parts may get other names
        newer.writestr(load_exported.META_FILE, json.dumps({"format_version": 99}))
    for name in ("newer", "renamed"):
        with pytest.raises(UserError, match=NEWER):
            load_exported.load(tmp_path / f"{name}.stablehlo")


@pytest.mark.skipif(not HAS_ONNX, reason="needs onnx and onnxruntime")
@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"format_version": 99}, NEWER),
        ({"format_version": "one", "image_size": 32}, "is damaged"),
        ({"format_version": 1}, "is damaged"),
        ([], "is damaged"),
    ],
)
def test_an_onnx_file_of_a_newer_version_or_with_a_damaged_description_is_refused(tmp_path, description, message):
    path = _write_onnx(tmp_path / "model.onnx", {load_exported.META_KEY: json.dumps(description)})
    with pytest.raises(UserError, match=message):
        load_exported.load(path)


@pytest.mark.parametrize("description", [{"format_version": "one", "image_size": 32}, {"image_size": None}, []])
def test_a_damaged_description_is_refused(tmp_path, description):
    with zipfile.ZipFile(tmp_path / "model.stablehlo", "w") as parts:
        parts.writestr(load_exported.META_FILE, json.dumps(description))
        parts.writestr(load_exported.PROGRAM_FILE, b"a program")
    with pytest.raises(UserError, match="is damaged"):
        load_exported.load(tmp_path / "model.stablehlo")


def test_a_program_that_jax_cannot_read_is_reported_in_one_sentence(tmp_path):
    for description in ({"image_size": 32, "jax": "9.9"}, {"image_size": 32}):
        with zipfile.ZipFile(tmp_path / "model.stablehlo", "w") as parts:
            parts.writestr(load_exported.META_FILE, json.dumps(description))
            parts.writestr(load_exported.PROGRAM_FILE, b"of a later JAX")
        version = description.get("jax", "of unknown version")
        with pytest.raises(
            UserError, match=f"cannot read .*, which JAX {version} wrote .* export the run again$"
        ) as error:
            load_exported.load(tmp_path / "model.stablehlo")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("options", [load_weights._QUICKER, {"no_such_option": True}])
def test_single_images_have_a_program_of_their_own(finished_run, options, monkeypatch):
    """It computes what the other one does, also where XLA does not know its options."""
    monkeypatch.setattr(load_weights, "_QUICKER", options)
    monkeypatch.setattr(load_weights, "_QUICK", options)
    predict_fn = load_run.load_run(finished_run, "latest").create_predict_fn()
    gray = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 1)).astype(np.float32)
    together = predict_fn(gray)
    single = np.concatenate([predict_fn(one) for one in np.split(gray, 2)])
    np.testing.assert_allclose(single, together, atol=1e-5)


@pytest.fixture(scope="module")
def with_hints():
    """A generator whose parameters for hints have random values, as if it was trained."""
    config = default.get_config()
    config.update_from_flattened_dict(TINY | {"model.hints": True})
    generator = build.create_generator(config.to_dict(), "cpu", "the test")
    variables = jax.jit(generator.init)(jax.random.key(0), np.zeros((1, 32, 32, 1), np.float32))
    rng = np.random.default_rng(0)

    def change(path, value):
        is_of_hints = hint_layers.is_of_hints([key.key for key in path])
        return value + rng.normal(0, 0.3, value.shape).astype(np.float32) if is_of_hints else value

    variables = jax.tree_util.tree_map_with_path(change, dict(variables))
    return load_weights.LoadedGenerator(config.to_dict(), 7, "best", generator, variables)


@pytest.mark.parametrize("file_format", ["safetensors", *FORMATS])
def test_a_generator_with_hints(with_hints, tmp_path, file_format):
    path = tmp_path / f"model.{file_format}"
    description = export_model.export_model(with_hints, path, file_format)
    assert description["format_version"] == FILE_VERSION == 2
    assert description["hints"]["shape"] == ["batch", 32, 32, 3]
    assert description["difference"]["max"] < 0.1
    model = load_exported.load(path)
    assert model.takes_hints
    assert Colorizer.from_file(path).takes_hints
    rng = np.random.default_rng(1)
    gray = rng.uniform(-0.7, 0.7, (3, 32, 32, 1)).astype(np.float32)
    planes = np.zeros((3, 32, 32, 3), np.float32)
    planes[:2, 8:12, 8:12] = (0.3, -0.2, 1)
    live = jax.jit(functools.partial(predict, with_hints.generator))
    results = []
    for inputs in ((gray,), (gray, planes)):
        results.append(np.asarray(live(with_hints.variables, *inputs)))
        for some in (slice(3), slice(1)):
            rgb = model.predict(*(array[some] for array in inputs))
            assert (rgb.dtype, rgb.shape) == (np.float32, results[-1][some].shape)
            np.testing.assert_allclose(rgb, results[-1][some], atol=1e-4)
    difference = np.abs(results[1] - results[0]).max(axis=(1, 2, 3))
    assert (difference[:2] > 0.05).all()
    assert difference[2] < 1e-5


def test_a_model_that_is_wrong_with_hints_alone_is_refused(with_hints, tmp_path, monkeypatch):
    def predict_wrongly(gray, *hints, original):
        rgb = original(gray, *hints).copy()
        if hints:
            rgb[-1, 3, 5] += 0.6 / 127.5
        return rgb

    def load(path, original=load_exported.load):
        model = original(path)
        return dataclasses.replace(model, predict=functools.partial(predict_wrongly, original=model.predict))

    monkeypatch.setattr(load_exported, "load", load)
    with pytest.raises(UserError, match="differs from the run by up to 0.6 gray levels"):
        export_model.export_model(with_hints, tmp_path / "model.safetensors", "safetensors")
    assert not list(tmp_path.iterdir())


def test_a_network_without_hints_has_the_version_of_before(with_hints):
    generator = with_hints.generator.clone(takes_hints=False)
    description = export_model.describe(dataclasses.replace(with_hints, generator=generator))
    assert description["format_version"] == VERSION_WITHOUT_HINTS == 1
    assert "hints" not in description
