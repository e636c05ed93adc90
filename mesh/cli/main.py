"""The command `meshnode`: finds the command that was typed, and turns every outcome into an exit code.

Invariant: nothing is imported before it is needed, so that `meshnode --help` and questions to a running peer start as
fast as Python does. What the help of each command says in short stands here for that reason, and a test compares it.
"""

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

import click

from mesh.cli import output
from mesh.cli.caller import Caller, home_option
from mesh.ground.errors import BugError, MeshError, UsageError

INTERRUPTED: Final = 130
"""What shells give for a program that Ctrl-C ended."""

SECTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "This peer": {
        "join": "Found a mesh, enter one, or start this peer again.",
        "invite": "Print an invite for another machine.",
        "members": "List the members: roles, until when, and by whom or which invite they came.",
        "revoke": "Throw a peer out of the mesh, for good.",
        "status": "Show this peer, the others, and the jobs.",
        "top": "Show peers, jobs and frames live, on a screen of its own.",
        "store": "Show what this peer stores, for which jobs, and what could go.",
        "pause": "Render nothing on this host for a while.",
        "resume": "Let this host render again after a pause.",
        "doctor": "Look what is wrong with this peer, or with the way to another.",
        "stop": "Finish the frames in hand and end the peer.",
        "leave": "Finish the frames in hand, then forget the membership.",
        "engine": "List and install what renders.",
    },
    "Jobs": {
        "submit": "Have the mesh render a scene.",
        "jobs": "List the jobs.",
        "show": "Show one job in full.",
        "logs": "Print what the engine said.",
        "fetch": "Write a job's frames into a folder.",
        "reject": "Say that pictures are wrong.",
        "weigh": "Give a job more or less time beside others.",
        "cancel": "End a job for good.",
    },
}
COMMANDS: Final[Mapping[str, str]] = {name: text for section in SECTIONS.values() for name, text in section.items()}


class _Commands(click.Group):
    """The commands by name; each is loaded when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"mesh.cli.commands.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may have been meant."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"; did you mean `meshnode {near[0]}`?" if near else ""
            ctx.fail(f"there is no command '{args[0]}'{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(section.items()))


def _version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from importlib.metadata import version

        output.say(f"meshnode {version('meshnode')}")
        context.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 90},
    epilog="Start with `meshnode join --new NAME`. Each command has its own --help.",
)
@home_option
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
@click.pass_context
def meshnode(context: click.Context) -> None:
    """Render together: every machine runs the same peer, and there is no manager."""
    context.ensure_object(Caller)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors are printed, bugs are not caught."""
    caller = Caller()
    try:
        # `prog_name`, so that help reads the same however Python was started.
        result: Any = meshnode.main(list(arguments), prog_name="meshnode", standalone_mode=False, obj=caller)
    except MeshError as error:
        return _failed(error, caller)
    except click.exceptions.NoArgsIsHelpError as error:
        output.notice(error.format_message())
        return error.exit_code
    except click.UsageError as error:
        # What was not understood may stand before the option.
        caller.as_json = caller.as_json or "--json" in arguments
        return _failed(_misused(error), caller)
    except (click.Abort, KeyboardInterrupt):
        output.notice("")
        return INTERRUPTED
    except click.exceptions.Exit as error:
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain about the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0


class Misused(UsageError):
    """The command line cannot be understood. Type it with `--help` to see how it is meant."""


def _misused(error: click.UsageError) -> Misused:
    where = error.ctx.command_path if error.ctx is not None else "meshnode"
    message = error.format_message().rstrip(".")
    return Misused(f"{where}: {message[:1].lower()}{message[1:]}")


def _failed(error: MeshError, caller: Caller) -> int:
    if caller.as_json:
        output.say_json(output.error_value(error))
    if isinstance(error, BugError):
        output.notice(error.story)
    for line in output.error_lines(error):
        output.notice(line)
    return error.exit_code


def main() -> NoReturn:
    """Be the program."""
    sys.exit(run(sys.argv[1:]))
