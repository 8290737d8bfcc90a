#include "arrays.hpp"
#include "labels.hpp"
#include "petrain/distill.hpp"

namespace petrain::python {
namespace {

// (value, gradient) of make(student, teacher), computed without the GIL.
template <class Make>
py::tuple loss_of(py::handle student, py::handle teacher, Make&& make) {
  const ArrayRef of_student = borrow(student, "student", Access::read);
  const ArrayRef of_teacher = borrow(teacher, "teacher", Access::read);
  Loss loss;
  {
    const py::gil_scoped_release release;
    loss = make(of_student.view, of_teacher.view);
  }
  return py::make_tuple(loss.value, as_numpy(std::move(loss.gradient)));
}

}  // namespace

void register_distill(py::module_& module) {
  module.def(
      "kl_div",
      [](py::handle student, py::handle teacher, double temperature) {
        return loss_of(student, teacher, [&](const auto& s, const auto& t) { return kl_div(s, t, temperature); });
      },
      py::arg("student"), py::arg("teacher"), py::arg("temperature"));
  module.def(
      "soft_cross_entropy",
      [](py::handle student, py::handle teacher, double temperature) {
        return loss_of(student, teacher,
                       [&](const auto& s, const auto& t) { return soft_cross_entropy(s, t, temperature); });
      },
      py::arg("student"), py::arg("teacher"), py::arg("temperature"));
  module.def(
      "distillation",
      [](py::handle student, py::handle teacher, const py::array& labels, double temperature, double alpha) {
        const LabelArray indices = labels_from(labels);
        const auto span = span_of(indices);
        return loss_of(student, teacher,
                       [&](const auto& s, const auto& t) { return distillation(s, t, span, {temperature, alpha}); });
      },
      py::arg("student"), py::arg("teacher"), py::arg("labels"), py::arg("temperature"), py::arg("alpha"));
  module.def(
      "mse_loss", [](py::handle student, py::handle teacher) { return loss_of(student, teacher, mse); },
      py::arg("student"), py::arg("teacher"));
  module.def(
      "cosine_loss", [](py::handle student, py::handle teacher) { return loss_of(student, teacher, cosine); },
      py::arg("student"), py::arg("teacher"));
  module.def(
      "attention_transfer",
      [](py::handle student, py::handle teacher) { return loss_of(student, teacher, attention_transfer); },
      py::arg("student"), py::arg("teacher"));
}

}  // namespace petrain::python
