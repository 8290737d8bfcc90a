#include <pybind11/stl.h>

#include <optional>

#include "step_options.hpp"
#include "tensor_steps.hpp"

namespace petrain::python {
namespace {

// The garbage collector has to see what is kept: a parameter's hook may refer to the optimizer that holds this.
void visit_kept(PyHeapTypeObject* heap_type) {
  PyTypeObject& type = heap_type->ht_type;
  type.tp_flags |= Py_TPFLAGS_HAVE_GC;
  type.tp_traverse = [](PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    if (py::detail::is_holder_constructed(self)) Py_VISIT(py::handle(self).cast<TensorSteps&>().kept().ptr());
    return 0;
  };
}

}  // namespace

void register_tensor_steps(py::module_& module) {
  py::class_<TensorSteps>(module, "TensorSteps", py::custom_type_setup(visit_kept))
      .def(py::init<py::object, const py::list&, const py::dict&, const py::list&, const py::array_t<float>&,
                    const py::array_t<double>&, py::object>(),
           py::arg("optimizer"), py::arg("param_lists"), py::arg("state"), py::arg("members"),
           py::arg("steps").noconvert(), py::arg("memory").noconvert(), py::arg("touch"))
      .def(
          "step",
          [](TensorSteps& self, const py::list& param_lists, const py::dict& state, const py::dict& copies,
             std::optional<double> max_norm, double grad_scale, std::optional<double> max_value, bool zero_grads,
             bool check_finite) {
            auto options = options_from(max_norm, grad_scale, max_value, zero_grads, check_finite);
            options.allow_missing = true;
            return self.step(param_lists, state, copies, options);
          },
          py::arg("param_lists"), py::arg("state"), py::arg("copies"), py::arg("max_norm"), py::arg("grad_scale"),
          py::arg("max_value"), py::arg("zero_grads"), py::arg("check_finite"));
}

}  // namespace petrain::python
