import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefleet_core import keys
from imagefleet_core.jobs import JobId

JOB = JobId("0192f3c4-5d6e-7f80-8123-456789abcdef", 7)


@pytest.mark.parametrize(
    ("given_name", "clean", "safe"),
    [
        ("cat.jpg", "cat.jpg", "cat.jpg"),
        ("C:\\Users\\me\\cat.jpg", "cat.jpg", "cat.jpg"),
        ("../../etc/passwd", "passwd", "passwd"),
        ("été à la mer.JPG", "été à la mer.JPG", "ete-a-la-mer.JPG"),
        ("猫.png", "猫.png", "png"),
        ("a\x00b\nc.png", "abc.png", "abc.png"),
        ("", "image", "image"),
        ("..", "image", "image"),
        ("<script>.gif", "<script>.gif", "script-.gif"),
    ],
)
def test_file_names_are_cleaned(given_name: str, clean: str, safe: str) -> None:
    assert keys.clean_name(given_name) == clean
    assert keys.safe_name(given_name) == safe


@given(st.text())
def test_any_file_name_makes_a_key_that_names_its_job(name: str) -> None:
    key = keys.input_key(JOB, name)

    assert key.isascii()
    assert key.startswith(keys.batch_prefix(JOB.batch))
    assert keys.parse_input_key(key) == (JOB.number, keys.safe_name(name))


@given(st.text() | st.from_regex(r"\w*\$\{filename\}"))
def test_any_file_name_makes_a_key_of_the_inbox_that_names_its_job(name: str) -> None:
    key = keys.inbox_key(JOB, name)

    assert key.startswith(keys.inbox_prefix(JOB.batch))
    assert keys.parse_inbox_key(key) == (JOB, keys.form_name(name))
    assert keys.parse_input_key(key) == (JOB.number, keys.form_name(name))
    assert len(key.encode()) < 1024  # S3's limit
    assert not set("${}/\"'\r\n") & set(key.removeprefix(keys.inbox_prefix(JOB.batch)))


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("Käse 2.jpg", "Käse 2.jpg"),
        ("../हिन्दी.png", "हिन्दी.png"),
        ("${filename}", "-filename-"),
        ('a"b&c.jpg', "a-b-c.jpg"),
        ("$/ ", "image"),
    ],
)
def test_a_form_keeps_of_a_name_what_is_harmless(given_name: str, kept: str) -> None:
    assert keys.form_name(given_name) == kept


@given(st.text())
def test_a_clean_name_is_short_and_stays_as_it_is(name: str) -> None:
    clean = keys.clean_name(name)

    assert 0 < len(clean.encode()) <= keys.MAX_NAME_BYTES
    assert keys.clean_name(clean) == clean


def test_a_result_key_names_its_job() -> None:
    assert keys.parse_result_key(keys.result_key(JOB)) == JOB.number


@pytest.mark.parametrize("key", ["", "a", "a/b", "a/1-x.jpg", "a/0001", "inbox/cat.jpg"])
def test_other_keys_name_no_job(key: str) -> None:
    assert keys.parse_input_key(key) is None
    assert keys.parse_inbox_key(key) is None
    assert keys.parse_result_key(key) is None


@pytest.mark.parametrize(
    "key",
    ["inbox/cat.jpg", "inbox/trip/0001-cat.jpg", "inbox/Käse 1+2.jpg", "inbox/a..b/.c", "inbox/"],
)
def test_what_came_to_the_inbox_without_a_form_may_be_named_in_any_way(key: str) -> None:
    assert keys.dropped_key(key) == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        "inbox",
        "inboxes/cat.jpg",
        "/inbox/cat.jpg",
        f"{JOB.batch}/0001-cat.jpg",
        f"inbox/{JOB.batch}/0001-cat.jpg",
        "inbox/../cat.jpg",
        "inbox/a/./b.jpg",
        "inbox/a/..",
        "inbox/a\nb.jpg",
        "inbox/a\0.jpg",
        f"inbox/{'ä' * 510}",
    ],
)
def test_nothing_else_came_to_the_inbox_without_a_form(key: str) -> None:
    assert keys.dropped_key(key) is None
