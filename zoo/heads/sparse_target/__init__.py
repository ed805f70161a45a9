"""Exact gradient steps of an output matrix with very many rows; this package needs torch alone."""

from zoo.heads.sparse_target.column_update import ColumnUpdate, CoupledUpdate, KroneckerUpdate, PlainUpdate
from zoo.heads.sparse_target.factored_matrix import FactoredMatrix
from zoo.heads.sparse_target.full_precision import full_precision
from zoo.heads.sparse_target.merge_targets import merge_targets
from zoo.heads.sparse_target.output_gradient import OutputGradient
from zoo.heads.sparse_target.row_gradient import RowGradient
from zoo.heads.sparse_target.spherical_loss import ClassLoss, Outputs, Partials, SphericalLoss
from zoo.heads.sparse_target.spherical_softmax import SphericalSoftmax
from zoo.heads.sparse_target.spherical_z_loss import SphericalZLoss
from zoo.heads.sparse_target.squared_error import SquaredError
from zoo.heads.sparse_target.step_moments import StepMoments
from zoo.heads.sparse_target.taylor_softmax import TaylorSoftmax

__all__ = [
    "ClassLoss",
    "ColumnUpdate",
    "CoupledUpdate",
    "FactoredMatrix",
    "KroneckerUpdate",
    "OutputGradient",
    "Outputs",
    "Partials",
    "PlainUpdate",
    "RowGradient",
    "SphericalLoss",
    "SphericalSoftmax",
    "SphericalZLoss",
    "SquaredError",
    "StepMoments",
    "TaylorSoftmax",
    "full_precision",
    "merge_targets",
]
