"""The progress line while the training step is compiled."""

import io
import logging
import sys

import jax
import pytest

from colorgan.run import compile_progress


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def cache(tmp_path):
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    jax.config.update("jax_compilation_cache_dir", before)


def _compile(monkeypatch, caplog, program, enabled=True, stderr_type=_Terminal):
    """What is printed and logged."""
    caplog.clear()
    stderr = stderr_type()
    monkeypatch.setattr(sys, "stderr", stderr)
    with caplog.at_level(logging.INFO, "colorgan"), compile_progress.compiling(program, 3, 9, enabled):
        pass
    return stderr.getvalue(), caplog.messages


def test_the_line_has_the_step_and_the_time_left(cache, monkeypatch, caplog):
    shown, (message,) = _compile(monkeypatch, caplog, ["a"])
    assert "compiling, 0 s of up to a minute  33%|" in shown
    assert "| step 3/9" in shown
    assert message == "compiling the training step (usually up to a minute, longer for a large encoder)"
    (file,) = cache.iterdir()
    assert 0 <= float(file.read_text()) < 10
    file.write_text("31.2")
    shown, (message,) = _compile(monkeypatch, caplog, ["a"])
    assert "compiling, about 31 s left  33%|" in shown
    assert message == "compiling the training step (31 s the last time)"
    _, (message,) = _compile(monkeypatch, caplog, ["another"])
    assert "up to a minute" in message


def test_the_line_counts_down_and_then_up():
    described = [compile_progress._describe(seconds, 30.0) for seconds in (10, 31)]
    assert described == ["compiling, about 20 s left", "compiling, 31 s"]
    described = [compile_progress._describe(seconds, None) for seconds in (10, 61)]
    assert described == ["compiling, 10 s of up to a minute", "compiling, 61 s"]


def test_in_a_pipe_there_is_one_message(cache, monkeypatch, caplog):
    shown, messages = _compile(monkeypatch, caplog, ["a"], stderr_type=io.StringIO)
    assert (shown, len(messages)) == ("", 1)
    assert _compile(monkeypatch, caplog, ["b"], enabled=False) == ("", [])
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("content", [None, "damaged"])
def test_times_that_cannot_be_kept_are_no_error(cache, monkeypatch, caplog, content):
    if content:
        _compile(monkeypatch, caplog, ["a"])
        (file,) = cache.iterdir()
        file.write_text(content)
    else:
        jax.config.update("jax_compilation_cache_dir", None)
    _, (message,) = _compile(monkeypatch, caplog, ["a"])
    assert "up to a minute" in message
    assert cache.exists() == bool(content)


def test_a_compilation_that_fails_is_not_timed(cache):
    with pytest.raises(ZeroDivisionError), compile_progress.compiling(["a"], 0, 9, True):
        1 / 0  # noqa: B018
    assert not cache.exists()
