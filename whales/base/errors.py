"""The one error that the user can mend."""


class UserError(Exception):
    """Bad input, described in one line: what is wrong, where, and what to do.

    `whales.stages.stage.run` prints it to stderr and exits with code 2; any other exception is a defect of
    the program and keeps its traceback.
    """
