"""The public names, for type checkers: see `__init__.py`."""

from samplerkit import (
    bench as bench,
)
from samplerkit import (
    contract as contract,
)
from samplerkit import (
    episodes as episodes,
)
from samplerkit import (
    interfaces as interfaces,
)
from samplerkit import (
    plugins as plugins,
)
from samplerkit import (
    policies as policies,
)
from samplerkit import (
    rl2 as rl2,
)
from samplerkit import (
    sampling as sampling,
)
from samplerkit import (
    tf as tf,
)
from samplerkit import (
    trainer as trainer,
)
from samplerkit import (
    workers as workers,
)
from samplerkit.episodes import (
    EnvSpec as EnvSpec,
)
from samplerkit.episodes import (
    EpisodeBatch as EpisodeBatch,
)
from samplerkit.episodes import (
    InProgressEpisode as InProgressEpisode,
)
from samplerkit.episodes import (
    Provenance as Provenance,
)
from samplerkit.episodes import (
    StepType as StepType,
)
from samplerkit.episodes import (
    TimeStep as TimeStep,
)
from samplerkit.episodes import (
    TimeStepBatch as TimeStepBatch,
)
from samplerkit.errors import (
    AmbiguousBackend as AmbiguousBackend,
)
from samplerkit.errors import (
    BackendBroken as BackendBroken,
)
from samplerkit.errors import (
    BackendError as BackendError,
)
from samplerkit.errors import (
    BackendIncompatible as BackendIncompatible,
)
from samplerkit.errors import (
    BackendUnavailable as BackendUnavailable,
)
from samplerkit.errors import (
    SamplerBusy as SamplerBusy,
)
from samplerkit.errors import (
    SamplerClosed as SamplerClosed,
)
from samplerkit.errors import (
    SamplerError as SamplerError,
)
from samplerkit.errors import (
    SamplerKitError as SamplerKitError,
)
from samplerkit.errors import (
    UnknownBackend as UnknownBackend,
)
from samplerkit.errors import (
    UnsupportedFeature as UnsupportedFeature,
)
from samplerkit.errors import (
    WorkerDied as WorkerDied,
)
from samplerkit.errors import (
    WorkerError as WorkerError,
)
from samplerkit.interfaces import (
    EnvUpdate as EnvUpdate,
)
from samplerkit.interfaces import (
    ExistingEnvUpdate as ExistingEnvUpdate,
)
from samplerkit.interfaces import (
    NewEnvUpdate as NewEnvUpdate,
)
from samplerkit.interfaces import (
    Policy as Policy,
)
from samplerkit.interfaces import (
    Sampler as Sampler,
)
from samplerkit.interfaces import (
    SetTaskUpdate as SetTaskUpdate,
)
from samplerkit.interfaces import (
    Statistics as Statistics,
)
from samplerkit.interfaces import (
    Unit as Unit,
)
from samplerkit.interfaces import (
    Worker as Worker,
)
from samplerkit.local import (
    LocalSampler as LocalSampler,
)
from samplerkit.plugins import (
    Backend as Backend,
)
from samplerkit.plugins import (
    BackendSpec as BackendSpec,
)
from samplerkit.plugins import (
    backends as backends,
)
from samplerkit.plugins import (
    get_backend as get_backend,
)
from samplerkit.plugins import (
    make_sampler as make_sampler,
)
from samplerkit.plugins import (
    register_backend as register_backend,
)
from samplerkit.plugins import (
    register_hooks as register_hooks,
)
from samplerkit.plugins import (
    unregister_hooks as unregister_hooks,
)
from samplerkit.tf import TFTrainer as TFTrainer
from samplerkit.trainer import Trainer as Trainer
from samplerkit.version import (
    API as API,
)
from samplerkit.workers import (
    DefaultWorker as DefaultWorker,
)
from samplerkit.workers import (
    WorkerFactory as WorkerFactory,
)

__version__: str
