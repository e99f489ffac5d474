"""A description that cannot be imported: it lacks something that it should have looked for only."""

import a_module_that_nobody_has  # noqa: F401
