"""The benchmarks run: what they measure is not looked at here."""

from tests.benchmarks import speed_and_memory


def test_everything_is_measured_and_laid_out_as_a_table(capsys):
    few = ["--models", "nearest_path", "ridge", "--runs", "1"]
    speed_and_memory.main(["--seconds", "0.3", "--minutes", "0.01", *few])
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head == "| what | measured |"
    assert len(rows) == 5
    assert all(row.count("|") == 3 for row in rows)
