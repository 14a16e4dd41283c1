"""Finding what plugins offer, and what is refused: each with the plugin's file and line."""

from __future__ import annotations

import hashlib
import os
import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import pluggy
import pytest

import riskbot
from riskbot import plugins
from riskbot.hookspecs import hookimpl
from riskbot.plugins import Plugins, files
from riskbot.plugins.blame import Refused
from riskbot.rules import Rule


class Own(Rule, kind="own", worse="above"):
    """A stranger's kind."""


def module(name: str, **hooks: object) -> types.ModuleType:
    made = types.ModuleType(name)
    for key, hook in hooks.items():
        setattr(made, key, hookimpl(hook))  # type: ignore[call-overload] # a function each time
    return made


# ---------------------------------------------------------------- the stock parts


def test_the_stock_kinds_are_found() -> None:
    kinds = plugins.load().kinds

    assert set(kinds) == {
        "margin_ratio",
        "level",
        "change",
        "threshold",
        "blind",
        "becomes",
        "key_safety",
        "time_to",
        "expression",
    }
    assert all(word == kind.KIND and kind.__doc__ and not kind.PLUGIN for word, kind in kinds.items())
    assert kinds == plugins.kinds(plugins.manager())


def test_two_stock_kinds_of_one_name_are_a_mistake_of_ours() -> None:
    class Impostor(Rule, kind="margin_ratio", worse="above"):
        """Would take the stock one's place."""

    found = plugins.manager()
    found.register(module("impostor", register_rules=lambda: [Impostor]))
    found.register(module("none", register_rules=lambda: None))

    with pytest.raises(ValueError, match='two plugins offer the kind "margin_ratio"'):
        plugins.kinds(found)


def test_a_misspelt_hook_in_a_stock_part_is_a_mistake_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = module("wrong", register_rule=lambda: [Own])
    monkeypatch.setattr(plugins, "STOCK", (*plugins.STOCK, "wrong"))
    monkeypatch.setitem(sys.modules, "wrong", wrong)

    with pytest.raises(pluggy.PluginValidationError, match="register_rule"):
        plugins.manager()


# ---------------------------------------------------------------- one-file plugins


class Folder:
    """A folder of plugins that nobody else can change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o700)

    def put(self, name: str, text: str) -> Path:
        path = self.path / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def load(self) -> Plugins:
        return plugins.load([self.path])

    def says(self, text: str) -> str:
        """What is wrong with a plugin of that text; without the folder."""
        self.put("mine.py", HEAD + text)
        found = self.load()
        assert found.plugins == ()
        (trouble,) = found.troubles
        assert trouble.plugin == "mine"
        return str(trouble).removeprefix(f"{self.path}/")


HEAD = "from riskbot import *\n"
KIND = """
class Mine(Rule, kind="{kind}", worse="above"):
    def readings(self, view):
        yield Reading(1)
@hookimpl
def register_rules():
    return [Mine]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "plugins")


def test_each_file_of_a_folder_is_a_plugin_but_for_those_with_an_underscore(folder: Folder) -> None:
    folder.put("mine.py", HEAD + KIND.format(kind="mine"))
    folder.put("_not_mine.py", "1/0")
    folder.put("notes.txt", "1/0")
    (folder.path / "tests").mkdir()
    found = folder.load()

    assert [(plugin.name, plugin.offers()) for plugin in found.plugins] == [("mine", ["kind mine"])]
    assert found.troubles == ()
    assert found.kinds["mine"].PLUGIN == "mine"
    assert len(found.kinds) == len(plugins.load().kinds) + 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x =", "mine.py:2: not valid Python: invalid syntax"),
        ("\n1/0", "mine.py:3: ZeroDivisionError: division by zero"),
        ("import nosuch", "mine.py:2: ModuleNotFoundError: No module named 'nosuch'"),
        ("import sys\nsys.exit(3)", "mine.py:3: SystemExit: 3"),
        ("class E(Exception):\n    def __str__(self): 1/0\nraise E", "mine.py:4: E: ?"),
        ("raise ValueError('a\\nb' + 'x' * 999)", f"mine.py:2: ValueError: a b{'x' * 196}…"),
        ("def helper(): pass", "mine.py: it offers nothing: no function is marked with @hookimpl"),
        (
            "@hookimpl\ndef register_rule():\n    return []",
            'mine.py:2: there is no hook "register_rule"; did you mean "register_rules"?',
        ),
        ("@hookimpl\ndef zzz():\n    return []", 'mine.py:2: there is no hook "zzz"; there are register_rules, '),
        ("def register_rules():\n    return []", "mine.py:2: register_rules is not marked: write @hookimpl above it"),
        ("@hookimpl\nasync def register_rules():\n    return []", "mine.py:2: register_rules is async"),
        ("@hookimpl\nasync def on_transition(event):\n    return", "mine.py:2: on_transition is async"),
        (
            "@hookimpl\ndef register_rules(all):\n    return []",
            'mine.py:2: register_rules has no argument "all"; it takes',
        ),
        (
            "@hookimpl\ndef render(evnt):\n    return None",
            'has no argument "evnt"; it may take event, view, headline, lin',
        ),
        ("@hookimpl(wrapper=True)\ndef render():\n    yield", "mine.py:2: render is a wrapper"),
        ("@hookimpl\ndef register_rules():\n    raise KeyError('liab')", "mine.py:4: KeyError: 'liab'"),
        ("@hookimpl\ndef register_rules():\n    raise SystemExit", "mine.py:4: SystemExit"),
        (
            "@hookimpl\ndef register_rules():\n    return 5",
            "mine.py:2: register_rules gave an int where a list of Rule",
        ),
        ("@hookimpl\ndef register_rules():\n    return [5]", "mine.py:2: register_rules gave an int in its list"),
        (
            "@hookimpl\ndef register_rules():\n    return [Reading]",
            "mine.py:2: register_rules gave the class Reading in",
        ),
        ("@hookimpl\ndef register_rules():\n    return [Rule]", "mine.py:2: Rule has no kind of small letters"),
        (KIND.format(kind="mine").replace("[Mine]", "[Mine, Mine]"), 'mine.py:6: it offers the kind "mine" twice'),
        (KIND.format(kind="mine").replace("readings", "reading"), "mine.py:6: Mine measures nothing: write its method"),
        (
            KIND.format(kind="mine").replace(', worse="above"', ""),
            "mine.py:6: Mine has no tiers: write class Mine(Rule, ",
        ),
        (
            KIND.format(kind="mine").replace("worse", "wrose"),
            "mine.py:3: TypeError: Rule.__init_subclass__() got an unexp",
        ),
        (KIND.format(kind="mine").replace("def rea", "async def rea"), "mine.py:4: Mine.readings is async"),
        (
            KIND.format(kind="mine").replace("@hook", "    def watches(self, account): return True\n@hook"),
            "mine.py:6: Mine.watches is riskbot's own: leave it out",
        ),
        ("@hookimpl\ndef register_sources():\n    return [5]", "mine.py:2: register_sources gave a list where a dict"),
        ("@hookimpl\ndef register_sources():\n    return {'okx': print}", '"okx" is riskbot\'s own, give another name'),
        ("@hookimpl\ndef register_sources():\n    return {'a': 5}", 'register_sources: "a" is an int where a class or'),
        ("@hookimpl\ndef register_notifiers():\n    return {'a://': print}", "in small letters, without ://"),
        (
            "async def f(url): pass\n@hookimpl\ndef register_notifiers():\n    return {'a': f}",
            'what makes "a" is async',
        ),
        ("@hookimpl\ndef register_commands():\n    return {}", "gave a dict where a list of click commands is due"),
        ("@hookimpl\ndef register_commands():\n    return [print]", "in its list where a named click command is due"),
    ],
)
def test_a_plugin_that_is_wrong_offers_nothing_and_says_where(folder: Folder, text: str, said: str) -> None:
    assert said in folder.says(text)


def test_a_broken_plugin_leaves_the_others_alone(folder: Folder) -> None:
    folder.put("a.py", "1/0")
    folder.put("b.py", HEAD + KIND.format(kind="mine"))
    folder.put("c.py", HEAD + "@hookimpl\ndef register_rule(): pass\n" + KIND.format(kind="other"))
    folder.put("d.py", HEAD + "@hookimpl\ndef register_rules(): 1/0\n@hookimpl\ndef render(): pass")
    found = folder.load()

    assert [trouble.plugin for trouble in found.troubles] == ["a", "c", "d"]
    assert [plugin.name for plugin in found.plugins] == ["b"]
    assert "mine" in found.kinds
    assert "other" not in found.kinds
    assert found.renders == ()


def test_a_stock_kind_that_a_plugin_hands_on_stays_riskbots_own(folder: Folder) -> None:
    folder.put("mine.py", "from riskbot.builtin.level import register_rules\n")
    found = folder.load()

    assert found.troubles
    assert not any(kind.PLUGIN for kind in found.kinds.values())


def test_where_two_offer_the_same_word_the_first_has_it_and_that_is_said(folder: Folder) -> None:
    first = folder.put("a.py", HEAD + KIND.format(kind="mine"))
    second = folder.put("b.py", HEAD + KIND.format(kind="mine"))
    third = folder.put("c.py", HEAD + KIND.format(kind="level"))
    found = folder.load()

    assert found.kinds["mine"].PLUGIN == "a"
    assert found.kinds["level"].PLUGIN == ""
    assert [str(trouble) for trouble in found.troubles] == [
        f'{second}:4: the kind "mine" is there already, from {first}: that one is used',
        f'{third}:4: the kind "level" is there already, from riskbot itself: that one is used',
    ]


def test_two_plugins_of_one_name_are_told_apart_by_their_files(folder: Folder, tmp_path: Path) -> None:
    other = Folder(tmp_path / "more")
    first = folder.put("mine.py", HEAD + KIND.format(kind="mine"))
    second = other.put("mine.py", HEAD + KIND.format(kind="other"))
    found = plugins.load([folder.path, other.path])

    assert [str(t) for t in found.troubles] == [f"{second}: another plugin has the same name, {first}: rename one"]
    assert "other" not in found.kinds
    assert found.files() == [first, second]


def test_hooks_are_called_last_registered_first_unless_they_say_otherwise(folder: Folder) -> None:
    for name, mark in (("a", "@hookimpl(tryfirst=True)"), ("b", "@hookimpl"), ("c", "@hookimpl")):
        folder.put(f"{name}.py", f"{HEAD}{mark}\ndef render(headline):\n    return headline + '{name}', []")
    renders = folder.load().renders

    assert [hook.plugin for hook in renders] == ["a", "c", "b"]
    assert renders[0](event=1, view=2, headline="x", lines=[]) == ("xa", [])


def test_an_edited_plugin_is_a_fresh_module_even_within_the_same_second(folder: Folder) -> None:
    path = folder.put("mine.py", HEAD + KIND.format(kind="one"))
    first, stamp = folder.load(), path.stat()
    folder.put("mine.py", HEAD + KIND.format(kind="two"))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    second = folder.load()

    assert "one" in first.kinds
    assert "two" in second.kinds
    assert "one" not in second.kinds
    assert not list(folder.path.rglob("*.pyc"))


def test_a_module_that_can_not_be_used_does_not_take_the_place_of_the_one_in_use(folder: Folder) -> None:
    path = folder.put("mine.py", "")
    before = files.run(path)
    folder.put("mine.py", "1/0")

    with pytest.raises(Refused):
        files.run(path)
    assert sys.modules[before.__name__] is before


def test_annotations_of_a_plugin_may_be_words(folder: Folder) -> None:
    text = KIND.format(kind="mine").replace("    def", "    share: Number = 1\n    over: Duration\n    def", 1)
    folder.put("mine.py", "from __future__ import annotations\n" + HEAD + text)
    kind = folder.load().kinds["mine"]

    rule = kind.model_validate({"name": "a", "kind": "mine", "above": {"info": 1}, "share": "50%", "over": "1h"})
    assert (str(rule.share), rule.over) == ("0.5", 3600)  # type: ignore[attr-defined] # the plugin's own


# ---------------------------------------------------------------- only what nobody else can change


def test_a_file_that_others_can_change_is_refused_with_what_to_do(folder: Folder) -> None:
    path = folder.put("mine.py", HEAD + KIND.format(kind="mine"))
    for mode in (0o620, 0o602):
        path.chmod(mode)
        (trouble,) = folder.load().troubles
        assert str(trouble) == f"{path}: others can change it, and it would run as you: chmod go-w {path}"
    path.chmod(0o644)
    assert folder.load().troubles == ()


def test_a_folder_that_others_can_change_is_refused_whole(folder: Folder) -> None:
    folder.put("mine.py", HEAD + KIND.format(kind="mine"))
    folder.path.chmod(0o777)
    found = folder.load()

    assert found.plugins == ()
    assert [str(t) for t in found.troubles] == [
        f"{folder.path}: others can change it, and it would run as you: chmod go-w {folder.path}"
    ]


def test_what_a_link_leads_to_counts(folder: Folder, tmp_path: Path) -> None:
    elsewhere = Folder(tmp_path / "else where")
    target = elsewhere.put("target.py", HEAD + KIND.format(kind="mine"))
    (folder.path / "mine.py").symlink_to(target)
    assert "mine" in folder.load().kinds

    target.chmod(0o666)
    assert "others can change it" in folder.load().troubles[0].why
    target.chmod(0o600)
    elsewhere.path.chmod(0o770)
    assert f"chmod go-w '{elsewhere.path}'" in folder.load().troubles[0].why


def test_what_belongs_to_somebody_else_is_refused() -> None:
    found = os.stat_result((0o100644, 0, 0, 1, 4711, 0, 0, 0, 0, 0))

    with pytest.raises(Refused) as refused:
        files._trust(found, Path("plugins/x.py"), 4712)
    assert refused.value.why == "it belongs to 4711, and would run as 4712: chown 4712 plugins/x.py"
    files._trust(found, Path("plugins/x.py"), 4711)
    files._trust(os.stat_result((0o100644, 0, 0, 1, 0, 0, 0, 0, 0, 0)), Path("plugins/x.py"), 4711)


def test_root_is_called_by_its_name() -> None:
    assert files._user(0) == "root"


def test_what_can_not_be_read_or_is_no_plugin_by_its_size_is_told(folder: Folder, tmp_path: Path) -> None:
    folder.put("big.py", "#" * (files.BIGGEST + 1))
    assert [t.why for t in folder.load().troubles] == ["it is larger than 1 MiB"]
    with pytest.raises(Refused, match="can't read it: No such file or directory"):
        files.run(folder.path / "gone.py")
    (trouble,) = plugins.load([tmp_path / "gone"]).troubles
    assert trouble.plugin == "gone"


# ---------------------------------------------------------------- installed packages


def test_installed_packages_are_found_by_their_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(Own, kind="mine"):
        """Measures nothing at all."""

        def readings(self, view: riskbot.View) -> list[riskbot.Reading]:
            return []

    monkeypatch.setitem(sys.modules, "good_one", module("good_one", register_rules=lambda: [Mine]))
    entries = [EntryPoint("good", "good_one", "riskbot"), EntryPoint("bad", "no_such_module", "riskbot")]
    monkeypatch.setattr(plugins, "entry_points", lambda group: entries if group == "riskbot" else [])
    found = plugins.load()

    assert [(p.name, p.file) for p in found.plugins] == [("good", "good_one")]
    assert found.kinds["mine"] is Mine
    assert [(t.plugin, t.why) for t in found.troubles] == [
        ("bad", "ModuleNotFoundError: No module named 'no_such_module'")
    ]


def test_all_that_a_plugin_may_import_is_there_and_nothing_else() -> None:
    names: dict[str, object] = {}
    exec("from riskbot import *", names)  # noqa: S102 - as a plugin may

    assert set(riskbot.__all__) == names.keys() - {"__builtins__"}
    assert riskbot.Rule is Rule
    with pytest.raises(AttributeError, match="no attribute 'Rulle'"):
        _ = riskbot.Rulle  # type: ignore[attr-defined] # on purpose


def test_a_plugin_has_the_hash_of_its_file_as_it_was_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "from riskbot import hookimpl\n\n@hookimpl\ndef on_transition(event):\n    pass\n"
    (tmp_path / "mine.py").write_text(source)
    tmp_path.chmod(0o700)
    (tmp_path / "mine.py").chmod(0o600)
    entry = EntryPoint("theirs", "theirs", "riskbot")
    monkeypatch.setattr(plugins, "entry_points", lambda group: [entry])
    monkeypatch.setitem(sys.modules, "theirs", module("theirs", on_transition=lambda event: None))

    found = plugins.load([tmp_path])
    (tmp_path / "mine.py").write_text(f"{source}# changed\n")

    assert {plugin.name: plugin.hash for plugin in found.plugins} == {
        "theirs": "",
        "mine": hashlib.sha256(source.encode()).hexdigest(),
    }
