// Dense row-major arrays: views of memory that somebody else owns, and Tensor, which owns its memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace petrain {

enum class DType : std::uint8_t { f32, f64, i8, u8, i32, i64, f16, bf16 };

const char* dtype_name(DType dtype);  // "float32", "int8", …
std::size_t dtype_size(DType dtype);  // bytes of one element
template <class T>
constexpr DType dtype_of();  // dtype_of<float>() == DType::f32

using Shape = std::vector<std::int64_t>;

std::string shape_text(const Shape& shape);      // "(3, 4)"
std::int64_t element_count(const Shape& shape);  // std::invalid_argument where negative or too large

// Read-only memory of another.
struct ConstTensorView {
  const void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;

  std::int64_t size() const { return element_count(shape); }
  template <class T>
  const T* as() const {
    return static_cast<const T*>(data);
  }
};

// Writable memory of another.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;

  operator ConstTensorView() const { return {data, dtype, shape}; }
  std::int64_t size() const { return element_count(shape); }
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

// Owns memory, zeroed and aligned to 64 bytes. Its address stays the same when the Tensor is moved.
class Tensor {
 public:
  Tensor() = default;
  Tensor(DType dtype, Shape shape);
  static Tensor uninitialized(DType dtype, Shape shape);  // for memory that is written before it is read
  // Zeroed, and where it is large it begins `offset` bytes, a multiple of 64 below 4096, into a page. Loops over
  // several large arrays are up to half as fast again where their addresses differ in the lower 12 bits.
  static Tensor staggered(DType dtype, Shape shape, std::size_t offset);

  bool empty() const { return size_ == 0; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  std::int64_t size() const { return size_; }
  std::size_t nbytes() const { return static_cast<std::size_t>(size_) * dtype_size(dtype_); }
  Tensor clone() const;

  template <class T>
  T* as() {
    return reinterpret_cast<T*>(data_.get());
  }
  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(data_.get());
  }
  TensorView view() { return {data_.get(), dtype_, shape_}; }
  ConstTensorView view() const { return {data_.get(), dtype_, shape_}; }

 private:
  struct Free {
    Free() : offset(0) {}
    explicit Free(std::size_t bytes) : offset(bytes) {}
    std::size_t offset;  // from the start of the memory to what it is used for
    void operator()(std::byte* memory) const;
  };
  DType dtype_ = DType::f32;
  Shape shape_;
  std::int64_t size_ = 0;
  std::unique_ptr<std::byte[], Free> data_;
};

template <>
constexpr DType dtype_of<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::f64;
}
template <>
constexpr DType dtype_of<std::int8_t>() {
  return DType::i8;
}
template <>
constexpr DType dtype_of<std::int32_t>() {
  return DType::i32;
}
template <>
constexpr DType dtype_of<std::int64_t>() {
  return DType::i64;
}

}  // namespace petrain
