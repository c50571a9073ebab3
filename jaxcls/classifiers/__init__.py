"""Closed-form classifiers on frozen features."""

from jaxcls.classifiers._boosted_network import (
  boosted_network_params as boosted_network_params,
)
from jaxcls.classifiers._boosted_network import (
  fit_boosted_network as fit_boosted_network,
)
from jaxcls.classifiers._boosted_network import (
  predict_boosted_network as predict_boosted_network,
)
from jaxcls.classifiers._class_count import ClassCount as ClassCount
from jaxcls.classifiers._class_count import (
  estimate_num_classes as estimate_num_classes,
)
from jaxcls.classifiers._deep_kernel import deep_kernel as deep_kernel
from jaxcls.classifiers._deep_kernel import fit_deep_kernel as fit_deep_kernel
from jaxcls.classifiers._deep_kernel import (
  predict_deep_kernel as predict_deep_kernel,
)
from jaxcls.classifiers._gaussian_discriminant import (
  fit_gaussian_discriminant as fit_gaussian_discriminant,
)
from jaxcls.classifiers._gaussian_discriminant import (
  predict_gaussian_discriminant as predict_gaussian_discriminant,
)
from jaxcls.classifiers._knn import fit_knn as fit_knn
from jaxcls.classifiers._knn import predict_knn as predict_knn
from jaxcls.classifiers._logistic_regression import (
  fit_logistic_regression as fit_logistic_regression,
)
from jaxcls.classifiers._logistic_regression import (
  predict_logistic_regression as predict_logistic_regression,
)
from jaxcls.classifiers._naive_bayes import fit_naive_bayes as fit_naive_bayes
from jaxcls.classifiers._naive_bayes import (
  merge_naive_bayes as merge_naive_bayes,
)
from jaxcls.classifiers._naive_bayes import (
  predict_naive_bayes as predict_naive_bayes,
)
from jaxcls.classifiers._nearest_class_mean import (
  fit_nearest_class_mean as fit_nearest_class_mean,
)
from jaxcls.classifiers._nearest_class_mean import (
  predict_nearest_class_mean as predict_nearest_class_mean,
)
from jaxcls.classifiers._prototypes import (
  calibrate_prototypes as calibrate_prototypes,
)
from jaxcls.classifiers._ridge import fit_ridge as fit_ridge
from jaxcls.classifiers._ridge import predict_ridge as predict_ridge
from jaxcls.classifiers._singular_kernel import (
  dual_activation as dual_activation,
)
from jaxcls.classifiers._singular_kernel import (
  fit_singular_kernel as fit_singular_kernel,
)
from jaxcls.classifiers._singular_kernel import (
  optimal_coefficients as optimal_coefficients,
)
from jaxcls.classifiers._singular_kernel import (
  predict_singular_kernel as predict_singular_kernel,
)
from jaxcls.classifiers._singular_kernel import (
  singular_exponent as singular_exponent,
)
from jaxcls.classifiers._timestep_weights import (
  fit_timestep_weights as fit_timestep_weights,
)
