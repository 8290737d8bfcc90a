#include "arrays.hpp"

#include <cstring>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "dlpack.hpp"

namespace petrain::python {
namespace {

constexpr DType kAll[] = {DType::f32, DType::f64, DType::f16, DType::bf16,
                          DType::i8,  DType::u8,  DType::i32, DType::i64};
constexpr const char* kAllNames = "dtype float32, float64, float16, bfloat16, int8, uint8, int32 or int64";

// NumPy knows bfloat16 once ml_dtypes has been imported; without it the array shows the 16 bits of each number.
py::dtype numpy_dtype(DType dtype) {
  if (dtype != DType::bf16) return py::dtype(dtype_name(dtype));
  static const bool has_ml_dtypes =
      py::module_::import("importlib.util").attr("find_spec")("ml_dtypes").ptr() != Py_None;
  if (!has_ml_dtypes) return py::dtype("uint16");
  return py::dtype::from_args(py::module_::import("ml_dtypes").attr("bfloat16"));
}

[[noreturn]] void refuse(const std::string& what, const std::string& expected, const std::string& got) {
  throw std::invalid_argument(what + ": expected " + expected + ", got " + got);
}

char kind_of(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return 'b';
    case DType::u8:
      return 'u';
    case DType::i8:
    case DType::i32:
    case DType::i64:
      return 'i';
    default:
      return 'f';
  }
}

DType dtype_from(char kind, std::int64_t bytes, const std::string& what, const std::string& got) {
  for (const DType dtype : kAll) {
    if (kind_of(dtype) == kind && static_cast<std::int64_t>(dtype_size(dtype)) == bytes) return dtype;
  }
  refuse(what, kAllNames, got);
}

// A name costs more than all else: it is made only where the kind does not say enough.
DType dtype_of(const py::array& array, const std::string& what) {
  const char kind = array.dtype().kind();
  if (kind == 'f' || kind == 'i' || kind == 'u') {
    for (const DType dtype : kAll) {
      if (kind_of(dtype) == kind && static_cast<std::int64_t>(dtype_size(dtype)) == array.itemsize()) return dtype;
    }
  }
  const std::string name = py::str(array.dtype());
  return dtype_from(name == "bfloat16" ? 'b' : kind == 'b' ? '?' : kind, array.itemsize(), what, name);
}

ArrayRef borrow_numpy(const py::array& array, const std::string& what, Access access) {
  if (array.dtype().byteorder() == '>') refuse(what, "native byte order", py::str(array.dtype()));
  ArrayRef ref;
  ref.view.dtype = dtype_of(array, what);
  ref.view.shape.assign(array.shape(), array.shape() + array.ndim());
  if (!(array.flags() & py::array::c_style)) {
    refuse(
        what, "a C-contiguous array",
        "strides of " + std::string(py::str(array.attr("strides"))) + " bytes for shape " + shape_text(ref.view.shape));
  }
  if (!(array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_)) refuse(what, "an aligned array", "an unaligned one");
  if (access == Access::write && !array.writeable()) refuse(what, "a writeable array", "a read-only one");
  ref.view.data = const_cast<void*>(array.data());
  ref.owner = array;
  return ref;
}

ArrayRef borrow_dlpack(py::handle source, const std::string& what, Access access) {
  py::object exporter = py::reinterpret_borrow<py::object>(source);
  if (py::hasattr(exporter, "requires_grad") && py::hasattr(exporter, "detach")) exporter = exporter.attr("detach")();
  const py::object device = exporter.attr("__dlpack_device__")();
  if (device.attr("__getitem__")(0).cast<int>() != kDLCPU) refuse(what, "an array in CPU memory", "one elsewhere");
  py::object capsule = exporter.attr("__dlpack__")();
  auto* managed = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
  if (managed == nullptr) throw py::error_already_set();
  const DLTensor& tensor = managed->dl_tensor;
  ArrayRef ref;
  ref.view.shape.assign(tensor.shape, tensor.shape + tensor.ndim);
  constexpr std::string_view kKinds = "iuf?b";  // by the protocol's codes: int, uint, float, handle, bfloat
  if (tensor.dtype.lanes != 1 || tensor.dtype.bits % 8 != 0 || tensor.dtype.code >= kKinds.size()) {
    refuse(what, kAllNames, py::str(exporter.attr("dtype")));
  }
  const char kind = kKinds[tensor.dtype.code];
  if (kind == 'f' && tensor.dtype.bits == 32) {
    ref.view.dtype = DType::f32;  // the common case makes no name
  } else {
    ref.view.dtype = dtype_from(kind, tensor.dtype.bits / 8, what, py::str(exporter.attr("dtype")));
  }
  if (tensor.strides != nullptr && ref.view.size() > 0) {  // strides of nothing are arbitrary
    std::int64_t expected = 1;
    for (int i = tensor.ndim - 1; i >= 0; --i) {
      if (tensor.shape[i] != 1 && tensor.strides[i] != expected) {
        refuse(what, "a C-contiguous array", "strides for shape " + shape_text(ref.view.shape) + " that are not");
      }
      expected *= tensor.shape[i];
    }
  }
  (void)access;  // this version of the protocol exports writeable memory alone
  ref.view.data = static_cast<char*>(tensor.data) + tensor.byte_offset;
  ref.owner = std::move(exporter);  // keeps the memory; the capsule frees its own description
  return ref;
}

}  // namespace

ArrayRef borrow(py::handle array, const std::string& what, Access access) {
  if (py::isinstance<py::array>(array)) return borrow_numpy(py::reinterpret_borrow<py::array>(array), what, access);
  if (py::hasattr(array, "__dlpack__")) return borrow_dlpack(array, what, access);
  throw py::type_error(what + ": expected a NumPy array or a CPU tensor, got " +
                       std::string(py::str(py::type::of(array).attr("__name__"))));
}

std::vector<ArrayRef> borrow_all(const py::sequence& arrays, const std::string& what, Access access) {
  std::vector<ArrayRef> refs;
  refs.reserve(arrays.size());
  std::size_t index = 0;
  for (const py::handle array : arrays) {
    const std::size_t number = index++;
    if (array.is_none()) {  // a view without data: the core says whether that may be
      refs.emplace_back();
    } else {
      refs.push_back(borrow(array, what + " " + std::to_string(number), access));
    }
  }
  return refs;
}

std::vector<ConstTensorView> views_of(const std::vector<ArrayRef>& arrays) {
  std::vector<ConstTensorView> views;
  views.reserve(arrays.size());
  for (const ArrayRef& array : arrays) views.push_back(array.view);
  return views;
}

std::string path_from(const py::object& path) {
  PyObject* bytes = nullptr;
  if (PyUnicode_FSConverter(path.ptr(), static_cast<void*>(&bytes)) == 0) throw py::error_already_set();
  return py::reinterpret_steal<py::bytes>(bytes);
}

DType float_dtype(const std::string& name) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    if (name == dtype_name(dtype)) return dtype;
  }
  throw std::invalid_argument("dtype: expected \"float32\", \"float16\" or \"bfloat16\", got \"" + name + "\"");
}

Tensor copy_of(const ArrayRef& array) {
  Tensor copy = Tensor::uninitialized(array.view.dtype, array.view.shape);
  if (!copy.empty()) std::memcpy(copy.as<std::byte>(), array.view.data, copy.nbytes());
  return copy;
}

py::array as_numpy(const TensorView& view, py::handle owner) {
  return py::array(numpy_dtype(view.dtype), view.shape, view.data, owner);
}

py::array read_only(Tensor& part, py::handle owner) {
  py::array array = as_numpy(part.view(), owner);
  array.attr("setflags")(py::arg("write") = false);
  return array;
}

py::array as_numpy(Tensor tensor) {
  auto* owned = new Tensor(std::move(tensor));
  const py::capsule owner(owned, [](void* pointer) { delete static_cast<Tensor*>(pointer); });
  return as_numpy(owned->view(), owner);
}

}  // namespace petrain::python
