"""How many golden cases ran, at the end of a test run."""


def pytest_terminal_summary(terminalreporter):
    passed = {report.nodeid for report in terminalreporter.getreports("passed") if "test_goldens" in report.nodeid}
    cases = {name.rsplit("-", 1)[1].rstrip("]") for name in passed if "[fast-" in name or "[literal-" in name}
    if cases:
        terminalreporter.write_line(f"{len(cases)} golden cases of {len({case.split()[0] for case in cases})} methods")
