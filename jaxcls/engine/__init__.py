"""Mesh, train loop, checkpoints, logging and preflight."""

from jaxcls.engine._compare import compare as compare
from jaxcls.engine._compare import load_experiment as load_experiment
from jaxcls.engine._compare import paired_interval as paired_interval
from jaxcls.engine._compare import print_results as print_results
from jaxcls.engine._config import ConfigError as ConfigError
from jaxcls.engine._config import complete as complete
from jaxcls.engine._config import load_config as load_config
from jaxcls.engine._evaluate_run import LoadedRun as LoadedRun
from jaxcls.engine._evaluate_run import evaluate_run as evaluate_run
from jaxcls.engine._evaluate_run import load_run as load_run
from jaxcls.engine._folder import RunFolderError as RunFolderError
from jaxcls.engine._log import read_metrics as read_metrics
from jaxcls.engine._loop import Diverged as Diverged
from jaxcls.engine._loop import Stopped as Stopped
from jaxcls.engine._mesh import make_mesh as make_mesh
from jaxcls.engine._preflight import preflight as preflight
from jaxcls.engine._program import Program as Program
from jaxcls.engine._program import build as build
from jaxcls.engine._report import report as report
from jaxcls.engine._systems import find_systems as find_systems
from jaxcls.engine._systems import print_systems as print_systems
from jaxcls.engine._systems import read_systems as read_systems
from jaxcls.engine._systems import resolve_part as resolve_part
from jaxcls.engine._train import train as train
