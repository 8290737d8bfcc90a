// The part of the DLPack ABI (https://dmlc.github.io/dlpack) that is read here: version 0, and of version 1.3 the C
// exchange, with which a tensor's type offers to describe its tensors without making an object.
#pragma once

#include <cstdint>

namespace petrain::python {

constexpr int kDLCPU = 1;

struct DLDevice {
  std::int32_t device_type, device_id;
};

struct DLDataType {
  std::uint8_t code, bits;
  std::uint16_t lanes;
};

struct DLTensor {
  void* data;
  DLDevice device;
  std::int32_t ndim;
  DLDataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null where contiguous
  std::uint64_t byte_offset;
};

struct DLManagedTensor {
  DLTensor dl_tensor;
  void* manager_ctx;
  void (*deleter)(DLManagedTensor*);
};

struct DLPackExchangeAPIHeader {
  std::uint32_t major, minor;
  DLPackExchangeAPIHeader* prev_api;
};

// What `type(tensor).__dlpack_c_exchange_api__`, a capsule named "dlpack_exchange_api", points to.
struct DLPackExchangeAPI {
  DLPackExchangeAPIHeader header;
  void* managed_tensor_allocator;
  void* managed_tensor_from_py_object_no_sync;
  void* managed_tensor_to_py_object_no_sync;
  int (*dltensor_from_py_object_no_sync)(void* py_object, DLTensor* out);  // may be null; 0, or -1 with an exception
  void* current_work_stream;
};

}  // namespace petrain::python
