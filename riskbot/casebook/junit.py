"""A report in JUnit's XML, as every CI reads it."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from riskbot.casebook.suite import Report, Result


def junit(reports: Iterable[Report]) -> str:
    """One test suite for each rules file, one test case for each case."""
    root = Element("testsuites", name="riskbot test")
    for report in reports:
        failures = sum(not result.ok for result in report.results)
        suite = SubElement(root, "testsuite", name=str(report.book.path), tests=str(len(report.results)))
        suite.attrib |= {"failures": str(failures), "errors": "0"}
        for result in report.results:
            _case(suite, result)
    indent(root)
    return tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: Element, result: Result) -> None:
    page = result.page
    case = SubElement(suite, "testcase", name=page.case.name, classname=str(page.source.path))
    case.attrib |= {"file": str(page.source.path), "line": str(page.line)}
    if result.findings:
        whys = [finding.why for finding in result.findings]
        failure = SubElement(case, "failure", message=_sound(whys[0]), type="messages")
        killed = f"killed {result.killed}\n" if result.killed else ""
        failure.text = _sound(killed + "\n".join(whys))


def _sound(text: str) -> str:
    """Without signs that XML can't hold."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else " " for sign in text)
