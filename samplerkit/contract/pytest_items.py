"""The contract's clauses as tests of a pytest session; set up by the plugin ``_samplerkit_pytest``."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from samplerkit.contract.clause import Clause
from samplerkit.contract.examine import State, Verdict
from samplerkit.contract.replaying import as_subject
from samplerkit.contract.report import as_json, failure, header, summary, write_json
from samplerkit.contract.runner import Examination, Report, parse_version
from samplerkit.errors import SamplerKitError
from samplerkit.plugins.option_words import parse_options

_VERDICT = "samplerkit_verdict"


class ContractPlugin:
    """Adds one test for each clause, and reports at the end. There is one sandbox for the whole session.

    Args:
        config: of the session.

    Raises:
        pytest.UsageError: if the backend cannot be found, or an option makes no sense.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._verdicts: dict[str, Verdict] = {}
        version = config.getoption("--samplerkit-contract")
        try:
            self.examination = Examination(
                as_subject(
                    config.getoption("--samplerkit-backend"),
                    parse_options(config.getoption("--samplerkit-option")),
                ),
                config.getoption("--samplerkit-profile"),
                version=None if version is None else parse_version(version),
            )
        except (SamplerKitError, ValueError, TypeError, ImportError, AttributeError) as error:
            raise pytest.UsageError(f"--samplerkit-backend: {error}") from error

    def pytest_report_header(self) -> list[str]:
        """Say what is checked."""
        it = self.examination
        return header(it.subject, it.profile, it.version).splitlines()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Add the clauses to what was collected, before ``-k`` and ``-m`` choose among all of it."""
        name = self.examination.subject.name
        parent = _Clauses.from_parent(session, name=name, nodeid=f"samplerkit::{name}")
        parent.examination = self.examination
        items.extend(parent.collect())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the verdict to pytest's report, which may travel to another process."""
        report = yield
        if isinstance(item, ClauseItem) and report.when == "call" and item.verdict is not None:
            verdict = item.verdict
            setattr(report, _VERDICT, {**vars(verdict), "state": str(verdict.state)})
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather the verdicts, from whichever process they come."""
        fields = getattr(report, _VERDICT, None)
        if fields is not None:
            verdict = Verdict(**{**fields, "state": State(fields["state"])})
            self._verdicts[verdict.clause] = verdict

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show notices and counts."""
        report = self.report()
        if not report.verdicts:  # only collected
            return
        terminalreporter.section(f"samplerkit contract: {report.subject.name}")
        for verdict in report.of(State.NOTICE):
            it = report.clause(verdict.clause)
            terminalreporter.write_line(failure(it, verdict, report.subject, report.profile) + "\n")
        terminalreporter.write_line(summary(report))

    def pytest_sessionfinish(self) -> None:
        """End the sandbox, and write the report."""
        self.examination.close()
        path = self._config.getoption("--samplerkit-report")
        is_worker = hasattr(self._config, "workerinput")
        if path and not is_worker:
            write_json(as_json(self.report()), path)

    def pytest_unconfigure(self) -> None:
        """End the sandbox, also where there was no session."""
        self.examination.close()

    def report(self) -> Report:
        """Return the verdicts so far, of every process of the session."""
        it = self.examination
        verdicts = [self._verdicts[each.id] for each in it.clauses if each.id in self._verdicts]
        return Report(it.subject, it.profile, tuple(verdicts), tuple(it.clauses), it.version)


class _Clauses(pytest.Collector):
    """All clauses of one subject."""

    examination: Examination

    def collect(self) -> list[pytest.Item]:
        items: list[pytest.Item] = []
        for it in self.examination.clauses:
            item = ClauseItem.from_parent(self, name=it.id)
            item.clause = it
            item.add_marker("samplerkit_contract")
            items.append(item)
        return items


class ClauseItem(pytest.Item):
    """One clause."""

    clause: Clause
    verdict: Verdict | None = None

    def runtest(self) -> None:
        """Examine the clause.

        Raises:
            Broken: where it is broken.
        """
        assert isinstance(self.parent, _Clauses)
        self.verdict = self.parent.examination.examine(self.clause)
        if self.verdict.state is State.NOT_APPLICABLE:
            pytest.skip(self.verdict.what)
        if self.verdict.bad:
            it = self.parent.examination
            raise Broken(failure(self.clause, self.verdict, it.subject, it.profile))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return our report, without pytest's internals."""
        if isinstance(excinfo.value, Broken):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Return where the test is, in pytest's words, and its name."""
        return self.path, None, f"{self.parent.name if self.parent else ''} {self.name}"


class Broken(Exception):
    """A clause is broken; the text is the whole report."""
