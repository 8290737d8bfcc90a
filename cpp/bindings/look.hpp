// What a tensor of another library is at this moment.
#pragma once

#include <optional>

#include "bindings.hpp"
#include "dlpack.hpp"
#include "petrain/tensor.hpp"

namespace petrain::python {

struct Look {
  DLTensor tensor;
  py::object owner;  // of the shape and the strides, where the tensor had to make an object to tell them

  bool in_cpu_memory() const { return tensor.device.device_type == kDLCPU; }
  std::int64_t size() const;
  const void* data() const { return static_cast<const char*>(tensor.data) + tensor.byte_offset; }
  std::optional<DType> float_dtype() const;  // none: something else
};

// Looks at tensors, and remembers how those of the last type are looked at: some 20 ns where the type offers DLPack's
// C exchange. No reference to autograd remains.
class Looker {
 public:
  Look operator()(py::handle tensor);  // py::error_already_set where the tensor cannot be described
  // Whether the memory holds the opposite of what the tensor says, as of PyTorch's lazy negation. Only of a tensor of
  // the type that was looked at last.
  bool is_negated(py::handle tensor) const;

 private:
  PyTypeObject* type_ = nullptr;
  int (*exchange_)(void* py_object, DLTensor* out) = nullptr;
  bool may_be_negated_ = false;
};

}  // namespace petrain::python
