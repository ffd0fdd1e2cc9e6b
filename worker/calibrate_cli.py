"""``iqa calibrate``: build a benchmark, evaluate a profile on it, fit the profile, check profile files.

The commands stand here and not in ``calibration``, since they read pictures with the worker's engines.
"""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from calibration.benchmark.sources import ROLES, Role, guess_roles
from calibration.errors import BenchmarkError, CalibrationError
from calibration.evaluate import Case, evaluate, make_cases
from calibration.labels import load_labels
from calibration.profile import Profile
from calibration.profile_file import check_text, load_profile, read_profile, replace_values, shipped_profiles
from worker.cpu import cpu_quota
from worker.readings import read_labelled
from worker.settings import load_settings
from worker.telemetry.logs import configure_logs

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Measure, tune and check the rules.")

ProfileOption = Annotated[
    str | None, typer.Option("--profile", help="A shipped profile's name or a .yaml file; else IQA_PROFILE's.")
]
SplitOption = Annotated[str, typer.Option(help="Only pictures of this split: validation, test; or all.")]
LabelsArgument = Annotated[
    Path, typer.Argument(metavar="LABELS", help="A table (CSV: file, category, ...) or a folder with labels.csv.")
]


@app.command()
def benchmark(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCES... OUT",
            help="Folders as ROLE=DIR, then the folder to write. Without a role: a folder of photos, or of folders by role. "
            + "; ".join(f"{role}: {told}" for role, told in ROLES.items()),
        ),
    ],
    size: Annotated[int, typer.Option(min=100, help="Pictures, half of them per split.")] = 4991,
    seed: Annotated[int, typer.Option(min=0, help="The same seed, sources and fonts give the same pictures.")] = 1,
    fonts: Annotated[list[Path] | None, typer.Option(help="Folder of fonts; else the system's.")] = None,
) -> None:
    """Make a labelled set in 58zhaopin-5k's proportions: defects, banners, logos, posters, documents, hard negatives."""
    from calibration.benchmark.build import Recipe, build_benchmark
    from calibration.benchmark.drawing import FONT_FOLDERS, find_fonts
    from calibration.benchmark.sources import find_sources
    from engines.training.distortions import DISTORTIONS

    if len(sources) < 2:
        raise BenchmarkError("give at least one folder of photos and, last, the folder to write")
    folders = [folder for source in sources[:-1] for folder in _roles(source)]
    out = Path(sources[-1])
    recipe = Recipe(find_sources(folders), find_fonts(fonts or FONT_FOLDERS), DISTORTIONS, size, seed)
    with _progress("building") as told:
        table = build_benchmark(recipe, out, cpu_quota(), told)
    typer.echo(f"{table}: {sum(1 for _ in load_labels(table))} pictures")


@app.command("evaluate")
def evaluate_labels(
    labels: LabelsArgument,
    profile: ProfileOption = None,
    split: SplitOption = "all",
    json: Annotated[bool, typer.Option("--json", help="Everything as JSON.")] = False,
    report: Annotated[Path | None, typer.Option(help="Also write a page with plots and pictures (HTML).")] = None,
) -> None:
    """Compare a profile's verdicts with labels: accuracy raw and calibrated, every rule's effect, what users would see."""
    from worker.calibrate_tables import evaluation_tables

    chosen, cases = _cases(labels, profile, split)
    found = evaluate(cases, chosen)
    if report is not None:
        from calibration.report.write import write_report

        write_report(report, found, cases, chosen)
        Console(stderr=True).print(f"report: {report}")
    if json:
        sys.stdout.write(found.model_dump_json(indent=1) + "\n")
        return
    console = Console()
    for table in evaluation_tables(found):
        console.print(table)


@app.command()
def fit(
    labels: LabelsArgument,
    profile: ProfileOption = None,
    out: Annotated[Path | None, typer.Option(help="File for the new version; else NAME-vN.yaml here.")] = None,
) -> None:
    """Fit thresholds and limits to labels and write the profile's next version, with what changes and what it gains.

    Pictures of a split named test are never fitted to: the gain is measured on them.
    """
    from calibration.fit import fit_profile
    from worker.calibrate_tables import fit_tables

    chosen, cases = _cases(labels, profile, "all")
    with _progress("fitting") as told:
        found = fit_profile(cases, chosen, told)
    console = Console()
    for table in fit_tables(found):
        console.print(table)
    if not found.changes:
        typer.echo("nothing to change: no new version was written")
        return
    target = out or Path(f"{found.profile.name}-v{found.profile.version}.yaml")
    changes: dict[tuple[str, ...], float | int] = {change.field: change.after for change in found.changes}
    _, text = read_profile(_profile_name(profile))
    try:
        target.write_text(replace_values(text, changes | {("version",): found.profile.version}), encoding="utf-8")
    except OSError as error:
        raise CalibrationError(f"{target} cannot be written: {error}") from error
    typer.echo(f"{target}: {found.profile.label}")


@app.command()
def check(
    profiles: Annotated[list[str] | None, typer.Argument(help="Files or shipped names; all shipped ones if none.")] = None,
) -> None:
    """Say what is wrong with profiles, with file and line; exit code 2 if anything is."""
    wrong = 0
    for name in profiles or shipped_profiles():
        source, text = read_profile(name)
        problems = check_text(text)
        wrong += len(problems)
        for problem in problems:
            typer.echo(f"{source}: {problem}", err=True)
        if not problems:
            typer.echo(f"{source}: {load_profile(name).label} is fine")
    if wrong:
        raise typer.Exit(2)


@app.command()
def schema() -> None:
    """Print the JSON Schema of profiles, for editors and other programs."""
    typer.echo(json_module.dumps(Profile.model_json_schema(), indent=1, ensure_ascii=False))


@app.command()
def reference(
    verdicts: Annotated[
        Path,
        typer.Argument(
            metavar="VERDICTS", help="Lines of JSON, as on the verdicts topic or from `iqa score --json`; - is standard input."
        ),
    ],
    source: Annotated[str, typer.Option(help="Where the pictures come from, for those who read it later.")] = "",
) -> None:
    """Print how scores are spread, for `drift-rules`: of a week of your own traffic, say. A thousand verdicts at least."""
    from calibration.drift import as_json, reference_of

    sys.stdout.write(as_json(reference_of(_verdicts(verdicts), source)))


@app.command("drift-rules")
def drift_rules(
    references: Annotated[
        list[Path], typer.Argument(metavar="REFERENCE...", help="As `reference` printed them, one a profile.")
    ],
) -> None:
    """Print Prometheus rules that compare the last six hours' scores with references (population stability index)."""
    import yaml

    from calibration.drift import parse_references, rules

    made = yaml.safe_dump(rules(parse_references(map(_text, references))), sort_keys=False, width=200)
    head = "# Written by `iqa calibrate drift-rules` from a reference; scores under another profile need another one.\n"
    sys.stdout.write(head + made)


def _text(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{path}: {error.strerror if isinstance(error, OSError) else 'no UTF-8'}") from error


def _verdicts(path: Path) -> Iterator[dict[str, object]]:
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            found = json_module.loads(line)
        except ValueError as error:
            raise CalibrationError(f"{path}: line {number} is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise CalibrationError(f"{path}: line {number} is no verdict, but {type(found).__name__}")
        yield found


def _roles(source: str) -> list[tuple[Role, Path]]:
    name, separator, folder = source.partition("=")
    if not separator or "/" in name:
        return guess_roles(Path(source))
    for role in get_args(Role):
        if role == name:
            return [(role, Path(folder))]
    raise BenchmarkError(f"{source}: there is no role {name!r}; there are {', '.join(ROLES)}")


def _profile_name(profile: str | None) -> str:
    return profile or load_settings().profile


def _cases(labels: Path, profile: str | None, split: str) -> tuple[Profile, list[Case]]:
    settings = load_settings()
    configure_logs("warning" if settings.log_level == "info" else settings.log_level)
    chosen = load_profile(_profile_name(profile))
    table = load_labels(labels)
    wanted = [label for label in table if split in {"all", label.split}]
    if not wanted:
        there = ", ".join(sorted({label.split or "(none)" for label in table}))
        raise CalibrationError(f"{labels} has no pictures of split {split!r}; there are: {there}")
    with _progress("reading pictures") as told:
        readings = read_labelled(labels, wanted, settings, told)
    return chosen, make_cases(wanted, readings, chosen)


@contextmanager
def _progress(told: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, moved by calling with how much is done, and how much there is."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(told, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
