"""`meshnode fetch`: a job's frames, into a folder of this machine, from whichever peers hold them."""

from pathlib import Path

import click

from mesh.cli import output, words
from mesh.cli.caller import Caller, Work, home_option, job_path, json_option, pass_caller
from mesh.cli.client import Client
from mesh.cli.progress import meter
from mesh.ports.desk import FetchAnswer, JobRow


@click.command()
@click.argument("job")
@click.option("--output", "directory", metavar="DIR", help="Where to.  [default: the job's own place, else ./NAME]")
@click.option("--overwrite", is_flag=True, help="Write over frames that exist and differ.")
@home_option
@json_option
@pass_caller
def command(caller: Caller, job: str, directory: str | None, overwrite: bool) -> None:
    """Write a job's frames into a folder.

    JOB is a job's name, its id, or the beginning of its id. Works at any peer of the mesh, whether or not the one that
    submitted the job is there.
    """
    client = caller.client()
    # A path has to stay as it is, whatever a terminal would make of it.
    place = str(Path(directory).absolute()) if directory is not None else _own_place(caller.client(plain=None), job)
    work = Work(client.stream(job_path(job, "/fetch"), {"directory": place, "overwrite": overwrite}))
    with meter() as shown:
        for progress in work:
            shown.update(progress)
    answer: FetchAnswer = work.answer
    if caller.as_json:
        output.say_json(answer)
        return
    already = f", {answer['already']} were there already" if answer["already"] else ""
    output.say(f"{words.count(answer['written'], 'frame')} written to {answer['directory']}{already}")
    if answer["unfinished"]:
        output.notice(f"{words.count(answer['unfinished'], 'frame')} not rendered yet")


def _own_place(client: Client, wanted: str) -> str:
    """Return where the job's files belong here: where it delivers them, else a folder with its name."""
    job: JobRow = client.get(job_path(wanted))["job"]
    if job["directory"]:
        return job["directory"]
    # A name is data from elsewhere, and may be no good as that of a folder.
    plain = job["name"] if job["name"].isprintable() and not set(job["name"]) & set("/\\:") else ""
    return str(Path.cwd() / (plain if plain.strip(". ") else words.short(job["id"])))
