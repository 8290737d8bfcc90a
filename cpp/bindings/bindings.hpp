#pragma once

#include <pybind11/pybind11.h>

namespace petrain::python {

namespace py = pybind11;

void register_calibrate(py::module_& module);
void register_cpu(py::module_& module);
void register_distill(py::module_& module);
void register_knapsack(py::module_& module);
void register_model(py::module_& module);
void register_nn(py::module_& module);
void register_lowrank(py::module_& module);
void register_lowrank_linear(py::module_& module);
void register_optim(py::module_& module);
void register_safetensors(py::module_& module);
void register_prune(py::module_& module);
void register_qat(py::module_& module);
void register_quant(py::module_& module);
void register_quant_conv(py::module_& module);
void register_quant_linear(py::module_& module);
void register_quant_rnn(py::module_& module);
void register_rounding(py::module_& module);
void register_sparse(py::module_& module);
void register_tensor_steps(py::module_& module);

}  // namespace petrain::python
