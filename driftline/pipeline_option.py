"""How a pipeline is named on the command line: by its name, or by the file that declares it."""

import click

from schemas.errors import DriftlineError
from sensing import learn, pipeline_in

__all__ = ["PIPELINE"]


class _PipelineType(click.ParamType):
    name = "NAME/VERSION|FILE.toml"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return learn(pipeline_in(value)).id
        except DriftlineError as error:
            self.fail(f"{error}; {error.hint}" if error.hint else str(error), param, ctx)


PIPELINE = _PipelineType()
