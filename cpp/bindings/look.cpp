#include "look.hpp"

namespace petrain::python {
namespace {

constexpr std::uint32_t kKnownVersion = 1;
enum : std::uint8_t { kDLFloat = 2, kDLBfloat = 4 };

// Null where the type does not offer it, in a version that is known here.
auto exchange_of(PyTypeObject* type) -> decltype(DLPackExchangeAPI::dltensor_from_py_object_no_sync) {
  const py::handle handle(reinterpret_cast<PyObject*>(type));
  if (!py::hasattr(handle, "__dlpack_c_exchange_api__")) return nullptr;
  const py::object capsule = handle.attr("__dlpack_c_exchange_api__");
  auto* api = static_cast<DLPackExchangeAPI*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
  if (api == nullptr) throw py::error_already_set();
  return api->header.major == kKnownVersion ? api->dltensor_from_py_object_no_sync : nullptr;
}

Look look_by_capsule(py::handle tensor) {
  py::object exporter = py::reinterpret_borrow<py::object>(tensor);
  if (py::hasattr(exporter, "requires_grad")) exporter = exporter.attr("detach")();
  py::object capsule = exporter.attr("__dlpack__")();
  auto* managed = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
  if (managed == nullptr) throw py::error_already_set();
  return {managed->dl_tensor, std::move(capsule)};
}

}  // namespace

std::int64_t Look::size() const {
  std::int64_t size = 1;
  for (int i = 0; i < tensor.ndim; ++i) size *= tensor.shape[i];
  return size;
}

std::optional<DType> Look::float_dtype() const {
  const auto [code, bits, lanes] = tensor.dtype;
  if (lanes != 1) return std::nullopt;
  if (code == kDLFloat && bits == 32) return DType::f32;
  if (code == kDLFloat && bits == 64) return DType::f64;
  if (code == kDLFloat && bits == 16) return DType::f16;
  if (code == kDLBfloat && bits == 16) return DType::bf16;
  return std::nullopt;
}

Look Looker::operator()(py::handle tensor) {
  if (Py_TYPE(tensor.ptr()) != type_) {
    exchange_ = exchange_of(Py_TYPE(tensor.ptr()));
    type_ = Py_TYPE(tensor.ptr());
    may_be_negated_ = py::hasattr(tensor, "is_neg");
  }
  if (exchange_ == nullptr) return look_by_capsule(tensor);
  Look look{};
  if (exchange_(tensor.ptr(), &look.tensor) != 0) throw py::error_already_set();
  return look;
}

bool Looker::is_negated(py::handle tensor) const {
  if (!may_be_negated_) return false;
  static PyObject* const name = PyUnicode_InternFromString("is_neg");
  PyObject* answer = PyObject_CallMethodNoArgs(tensor.ptr(), name);
  if (answer == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(answer).ptr() == Py_True;
}

}  // namespace petrain::python
