import pytest

from pipelines.output.text_table import human_seconds, text_table


@pytest.mark.parametrize(
    ("number", "printed"),
    [(28317.4, "28,317"), (-28317.4, "-28,317"), (4.5337, "4.534"), (9999.4, "9999"), (2e12, "2e+12")],
)
def test_numbers_of_a_table_are_read_without_an_exponent(number: float, printed: str) -> None:
    assert text_table(["epochs"], [[number]]).splitlines()[-1].strip() == printed


@pytest.mark.parametrize(
    ("seconds", "printed"), [(0.123, "0.12 s"), (54.6, "55 s"), (99.7, "100 s"), (115.2, "115 s"), (150, "2.5 min")]
)
def test_a_duration_has_a_number_and_a_unit(seconds: float, printed: str) -> None:
    assert human_seconds(seconds) == printed
