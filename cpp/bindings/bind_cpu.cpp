#include <pybind11/stl.h>

#include "bindings.hpp"
#include "petrain/cpu.hpp"
#include "petrain/error.hpp"

namespace petrain::python {
namespace {

void translate(const std::exception_ptr& pointer, py::handle error_type) {
  try {
    if (pointer) std::rethrow_exception(pointer);
  } catch (const IoError& error) {
    PyErr_SetObject(PyExc_OSError, py::make_tuple(error.code, error.what()).ptr());
  } catch (const Error& error) {
    PyErr_SetString(error_type.ptr(), error.what());
  }
}

}  // namespace

void register_cpu(py::module_& module) {
  static py::handle error_type = py::exception<Error>(module, "Error").release();
  py::register_exception_translator([](std::exception_ptr pointer) {  // NOLINT(performance-unnecessary-value-param)
    translate(pointer, error_type);
  });

  module.attr("__version__") = version();
  module.def(
      "cpu_info",
      [] {
        const CpuInfo info = cpu_info();
        py::dict result;
        result["isa"] = info.isa;
        result["available"] = info.available;
        result["threads"] = info.threads;
        result["openmp"] = info.openmp;
        return result;
      },
      "The instruction set in use and those available, the number of threads, and whether OpenMP was built in.");
  module.def("get_num_threads", &get_num_threads, "The most threads that one call may use.");
  module.def("set_num_threads", &set_num_threads, py::arg("count"),
             "Set the most threads that one call may use. Raises ValueError where count < 1.");
}

}  // namespace petrain::python
