"""Finding, reading, changing and writing configurations."""

from __future__ import annotations

import importlib
import importlib.resources
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from samplerkit.cli.quiet import without_native_chatter
from samplerkit.cli.search_path import search_in
from samplerkit.plugins.option_words import value_of
from samplerkit.spelling import did_you_mean
from samplerkit.trainer.experiment import Experiment, ExperimentConfig
from samplerkit.trainer.sampler_slot import kept_on_another
from samplerkit.trainer.tables import ConfigError

CONFIG_FILE = "config.toml"
Tables = dict[str, dict[str, Any]]


def named_configurations() -> dict[str, Path]:
    """The configurations that come with samplerkit, by name."""
    folder = importlib.resources.files("samplerkit") / "configs"
    paths = [Path(str(entry)) for entry in folder.iterdir() if entry.name.endswith(".toml")]
    return {path.stem: path for path in sorted(paths)}


def find_configuration(name: str) -> Path:
    """The file behind a name or a path.

    Raises:
        ConfigError: There is none; the text lists the names.
    """
    named = named_configurations()
    if name in named:
        return named[name]
    path = Path(name)
    if path.is_file():
        return path
    raise ConfigError(
        f"There is no configuration {name!r}, neither by name nor as a file.{did_you_mean(name, named)} "
        f"Names: {', '.join(named)}."
    )


def read_configuration(name: str) -> Tables:
    """The tables of a configuration by its name or path; that of a file knows in which folder it stands.

    Raises:
        ConfigError: There is none, or it is not TOML.
    """
    tables = read_tables(find_configuration(name))
    experiment = tables.setdefault("experiment", {})
    if name not in named_configurations() and isinstance(experiment, dict):
        experiment.setdefault("folder", str(Path(name).resolve().parent))
    return tables


def read_tables(path: Path) -> Tables:
    """The tables of a TOML file; a folder that it names is sought from where it stands itself.

    Raises:
        ConfigError: It is not TOML.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a TOML file: {error}.") from error
    experiment = tables.get("experiment")
    if isinstance(experiment, dict) and isinstance(experiment.get("folder"), str):
        experiment["folder"] = str((path.parent / experiment["folder"]).resolve())
    return tables


def resolve(
    tables: Tables, *, sampler: str | None = None, seed: int | None = None, settings: Iterable[str] = ()
) -> ExperimentConfig:
    """The configuration after ``--sampler``, ``--set`` and ``--seed``; a missing seed is drawn.

    Raises:
        ConfigError: A key is unknown or a value does not fit.
    """
    if sampler is not None:
        choose_sampler(tables, sampler)
    for setting in settings:
        apply_setting(tables, setting)
    experiment = tables.setdefault("experiment", {})
    if isinstance(experiment, dict):
        if seed is not None:
            experiment["seed"] = seed
        experiment.setdefault("seed", secrets.randbits(31))
    return ExperimentConfig.from_tables(tables)


def choose_sampler(tables: Tables, name: str) -> None:
    """Name another backend; the own options of the one in the file, such as ``n_processes``, go with it."""
    table = tables.setdefault("sampler", {})
    if not isinstance(table, dict):
        return  # what is no table is refused with all the others
    before = table.get("name", "local")
    if before != name:
        tables["sampler"] = {**kept_on_another(table, before, name), "name": name}


def apply_setting(tables: Tables, setting: str) -> None:
    """Apply one ``table.key=value``; the value is TOML, or a bare word for a string.

    Raises:
        ConfigError: It has another form.
    """
    key, equals, text = setting.partition("=")
    words = key.strip().split(".")
    if not equals or len(words) < 2 or not all(words):
        raise ConfigError(f"--set {setting!r}: write table.key=value, such as --set train.n_epochs=3.")
    table: Any = tables
    for word in words[:-1]:
        table = table.setdefault(word, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {setting!r}: {word!r} is a value and has no keys below it.")
    table[words[-1]] = value_of(text.strip())


def configuration_text(config: ExperimentConfig) -> str:
    """The configuration as a TOML file that gives the same run again."""
    import tomli_w

    return "# As resolved: file, --set and defaults.\n\n" + tomli_w.dumps(config.as_tables())


def build(config: ExperimentConfig) -> Experiment:
    """Call the configuration's builder, which may stand in a module beside its file.

    Raises:
        ConfigError: There is no such function, or it returns something else.
    """
    if config.folder is not None:
        search_in(Path(config.folder))
    try:
        builder = load_name(config.build, what="experiment.build")
    except ConfigError as error:
        if config.folder is None or not isinstance(error.__cause__, ModuleNotFoundError):
            raise
        gone = "" if Path(config.folder).is_dir() else ", which is not there any more"
        raise ConfigError(
            f"{error} Modules beside the configuration are sought in {config.folder}{gone}: put them there, "
            "or write another folder under [experiment] of the configuration, the config.toml of a run."
        ) from error
    experiment = builder(config)
    if not isinstance(experiment, Experiment):
        raise ConfigError(f"{config.build} returned {type(experiment).__name__}, not an Experiment.")
    return experiment


def load_name(reference: str, *, what: str) -> Any:
    """Import ``"module:name"``.

    Raises:
        ConfigError: The reference has another form, or the module or the name is not there.
    """
    module_name, colon, name = reference.partition(":")
    if not (module_name and colon and name):
        raise ConfigError(f"{what} is {reference!r}: write 'module:name'.")
    try:
        with without_native_chatter():
            module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(
            f"{what}: {module_name} cannot be imported: {error}.{_install_hint(error)}"
        ) from error
    except (Exception, SystemExit) as error:  # whatever importing a stranger's module may raise
        raise ConfigError(
            f"{what}: importing {module_name} raised {type(error).__name__}: {error}."
        ) from error
    try:
        return getattr(module, name)
    except AttributeError as error:
        raise ConfigError(f"{what}: {error}.") from error


def _install_hint(error: ImportError) -> str:
    hints: Mapping[str, str] = {"tensorflow": "tf", "keras": "tf", "tensorflow_probability": "tf"}
    extra = hints.get((error.name or "").partition(".")[0])
    return f" Run `pip install 'samplerkit[{extra}]'`." if extra else ""
