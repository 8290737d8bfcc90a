// The extension module petrain._core. One register_* function per capability, each in its own file.
#include "bindings.hpp"

PYBIND11_MODULE(_core, module) {
  module.doc() = "The compiled core of petrain. Use the modules of the package petrain instead.";
  // Types before the functions that name them, or docstrings and stubs show C++ names.
  petrain::python::register_cpu(module);
  petrain::python::register_optim(module);
  petrain::python::register_tensor_steps(module);
  petrain::python::register_quant(module);
  petrain::python::register_qat(module);
  petrain::python::register_quant_conv(module);
  petrain::python::register_quant_linear(module);
  petrain::python::register_quant_rnn(module);
  petrain::python::register_calibrate(module);
  petrain::python::register_rounding(module);
  petrain::python::register_prune(module);
  petrain::python::register_sparse(module);
  petrain::python::register_lowrank(module);
  petrain::python::register_lowrank_linear(module);
  petrain::python::register_knapsack(module);
  petrain::python::register_safetensors(module);
  petrain::python::register_nn(module);
  petrain::python::register_distill(module);
  petrain::python::register_model(module);
}
