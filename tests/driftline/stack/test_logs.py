"""Which lines of a log are shown."""

import pytest

from driftline.stack.logs import last_lines, last_words, since


def test_last_words_name_the_error_and_the_end():
    said = "\n".join(
        ["started", "ERROR can't bind", "Caused by: Address already in use", *(f"closing {n}" for n in range(30))]
    )

    assert last_words(said, lines=2) == (
        "ERROR can't bind\nCaused by: Address already in use\n…\nclosing 28\nclosing 29"
    )


def test_without_an_error_the_last_words_are_the_last_lines():
    assert last_words("one\ntwo\nthree", lines=2) == "two\nthree"


@pytest.mark.parametrize(("count", "shown"), [(0, ""), (2, "two\nthree"), (9, "one\ntwo\nthree")])
def test_the_last_lines_are_as_many_as_asked_for(tmp_path, count, shown):
    (tmp_path / "log").write_text("one\ntwo\nthree\n")

    assert last_lines(tmp_path / "log", count) == shown


def test_a_log_that_is_not_there_has_no_lines(tmp_path):
    assert last_lines(tmp_path / "log", 5) == ""


def test_what_an_earlier_start_said_is_left_out(tmp_path):
    (tmp_path / "log").write_text("Address already in use\n")
    start = (tmp_path / "log").stat().st_size
    with (tmp_path / "log").open("a") as log:
        log.write("started\n")

    assert since(tmp_path / "log", start) == "started\n"
