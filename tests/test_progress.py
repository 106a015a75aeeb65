"""Progress in a log file: whole lines with what is done, the time left and the rate."""

import re
import time

from cocoop import progress


def test_lines_of_a_log_say_how_many_how_long_and_how_fast(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LOG_INTERVAL_SECONDS", 0.0)
    with progress.bar(40, "features", "image", initial=10) as bar:
        for _ in range(3):
            time.sleep(0.01)  # a rate needs time to pass
            bar.update(10)
    lines = capsys.readouterr().err.splitlines()
    shown = [re.fullmatch(r"features: +(\d+)%\|.*\| (\d+)/40 \[\d\d:\d\d<(\S+), +(\S+)\]", line) for line in lines]
    assert all(shown), lines
    assert [found[2] for found in shown] == ["10", "20", "30", "40", "40"]  # at the start, after each, at the end
    assert all(re.fullmatch(r"\d\d:\d\d", found[3]) and found[4].endswith("image/s") for found in shown[1:])


def test_tracked_items_count_themselves(capsys):
    assert list(progress.track("abc", "letters", "letter")) == ["a", "b", "c"]
    assert "letters: 100%" in capsys.readouterr().err
