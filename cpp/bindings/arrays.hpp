// Arrays that come in, from NumPy or through DLPack, and arrays that go out. Never a silent copy: what cannot be
// used in place is refused with a message that says what was expected and what came.
#pragma once

#include <pybind11/numpy.h>

#include <string>
#include <vector>

#include "bindings.hpp"
#include "petrain/tensor.hpp"

namespace petrain::python {

enum class Access { read, write };

// An array of the caller's and what keeps its memory alive.
struct ArrayRef {
  TensorView view;
  py::object owner;
};

// `what` names the array in messages. The array must be C-contiguous and aligned and, to be written, writeable.
ArrayRef borrow(py::handle array, const std::string& what, Access access);
std::vector<ArrayRef> borrow_all(const py::sequence& arrays, const std::string& what, Access access);
std::vector<ConstTensorView> views_of(const std::vector<ArrayRef>& arrays);

// A path as Python's own functions take it, with their errors: str, bytes or os.PathLike.
std::string path_from(const py::object& path);

// "float32", "float16" or "bfloat16"; throws std::invalid_argument for another name.
DType float_dtype(const std::string& name);

// The core's own copy of a borrowed array.
Tensor copy_of(const ArrayRef& array);

// A NumPy array over memory that `owner` keeps alive.
py::array as_numpy(const TensorView& view, py::handle owner);
// The same, read-only: what is derived from a part of the owner must not fall behind it.
py::array read_only(Tensor& part, py::handle owner);
// A NumPy array that owns the tensor.
py::array as_numpy(Tensor tensor);

// What make() gives, made while other Python threads may run.
template <class Make>
auto without_gil(Make&& make) {
  const py::gil_scoped_release release;
  return make();
}

}  // namespace petrain::python
