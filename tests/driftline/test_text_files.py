"""Files that people hand in as text, and that are none."""

import pytest
from click.testing import CliRunner

from driftline.command import main
from driftline.text_files import read_text_file
from schemas.errors import DriftlineError


def test_text_is_read_as_it_is(tmp_path):
    (tmp_path / "p.toml").write_bytes("ö = 1\r\n".encode())

    assert read_text_file(tmp_path / "p.toml") == "ö = 1\n"


def test_the_mark_that_some_editors_put_first_is_no_text(tmp_path):
    (tmp_path / "p.toml").write_text("a = 1\n", encoding="utf-8-sig")

    assert read_text_file(tmp_path / "p.toml") == "a = 1\n"


def test_other_bytes_are_refused_by_name(tmp_path):
    (tmp_path / "p.toml").write_bytes(b"a = 1\n\xff")

    with pytest.raises(DriftlineError, match=r"p\.toml: found byte 0xff at 6, wanted UTF-8 text"):
        read_text_file(tmp_path / "p.toml")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["drift", "policy", "check", "{file}"], 'mode = "thresholds"\n'),
        (["rollout", "plan", "{file}"], 'models = ["pump/3"]\n'),
    ],
    ids=["policy", "plan"],
)
def test_commands_read_what_begins_with_a_mark(tmp_path, arguments, text):
    plain, marked = tmp_path / "plain.toml", tmp_path / "marked.toml"
    plain.write_text(text)
    marked.write_text(text, encoding="utf-8-sig")

    of_plain, of_marked = (
        CliRunner().invoke(main, [part.format(file=file) for part in arguments], prog_name="driftline")
        for file in (plain, marked)
    )

    assert of_marked.output.replace("marked", "plain") == of_plain.output
    assert of_marked.exit_code == of_plain.exit_code


def test_a_folder_is_refused_by_name(tmp_path):
    with pytest.raises(DriftlineError, match=f"{tmp_path}: Is a directory"):
        read_text_file(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["drift", "policy", "check", "{file}"],
        ["rollout", "plan", "{file}"],
        ["worker", "notify", "--routes", "{file}"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_commands_refuse_what_is_no_text(tmp_path, arguments):
    file = tmp_path / "binary.toml"
    file.write_bytes(bytes(range(256)))

    result = CliRunner().invoke(main, [part.format(file=file) for part in arguments], prog_name="driftline")

    assert result.exit_code == 1
    assert result.stderr == f"error: {file}: found byte 0x80 at 128, wanted UTF-8 text\n"
