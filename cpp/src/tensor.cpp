#include "petrain/tensor.hpp"

#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace petrain {
namespace {

constexpr std::align_val_t kAlignment{64}, kPage{4096};
constexpr std::size_t kLarge = 65536;    // bytes from which on the place in a page matters
constexpr std::size_t kHuge = 4u << 20;  // bytes from which on huge pages are asked for, as NumPy does

struct DTypeFacts {
  const char* name;
  std::size_t size;
};

constexpr DTypeFacts kDTypes[] = {{"float32", 4}, {"float64", 8}, {"int8", 1},    {"uint8", 1},
                                  {"int32", 4},   {"int64", 8},   {"float16", 2}, {"bfloat16", 2}};

// Memory of which every page will be written. Huge pages save the misses in the table of pages.
std::byte* allocate(std::size_t bytes, std::align_val_t alignment) {
  auto* memory = static_cast<std::byte*>(::operator new[](bytes, alignment));
#if defined(__linux__)
  constexpr auto page = static_cast<std::size_t>(kPage);
  if (bytes >= kHuge) {
    const std::size_t skip = (page - reinterpret_cast<std::uintptr_t>(memory) % page) % page;
    madvise(memory + skip, (bytes - skip) / page * page, MADV_HUGEPAGE);  // a wish: what comes of it does not matter
  }
#endif
  return memory;
}

}  // namespace

const char* dtype_name(DType dtype) { return kDTypes[static_cast<int>(dtype)].name; }
std::size_t dtype_size(DType dtype) { return kDTypes[static_cast<int>(dtype)].size; }

std::string shape_text(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

std::int64_t element_count(const Shape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) {
    if (extent < 0) throw std::invalid_argument("shape " + shape_text(shape) + " has a negative extent");
    if (extent != 0 && count > std::numeric_limits<std::int64_t>::max() / 8 / extent) {
      throw std::invalid_argument("shape " + shape_text(shape) + " has too many elements");
    }
    count *= extent;
  }
  return count;
}

Tensor::Tensor(DType dtype, Shape shape) : Tensor(uninitialized(dtype, std::move(shape))) {
  if (size_ > 0) std::memset(data_.get(), 0, nbytes());
}

Tensor Tensor::uninitialized(DType dtype, Shape shape) {
  Tensor tensor;
  tensor.dtype_ = dtype;
  tensor.size_ = element_count(shape);
  tensor.shape_ = std::move(shape);
  if (tensor.size_ > 0) tensor.data_.reset(allocate(tensor.nbytes(), kAlignment));
  return tensor;
}

Tensor Tensor::staggered(DType dtype, Shape shape, std::size_t offset) {
  if (offset == 0 || static_cast<std::size_t>(element_count(shape)) * dtype_size(dtype) < kLarge) return {dtype, shape};
  Tensor tensor;
  tensor.dtype_ = dtype;
  tensor.size_ = element_count(shape);
  tensor.shape_ = std::move(shape);
  std::byte* memory = allocate(tensor.nbytes() + offset, kPage);
  tensor.data_ = std::unique_ptr<std::byte[], Free>(memory + offset, Free{offset});
  std::memset(tensor.data_.get(), 0, tensor.nbytes());
  return tensor;
}

Tensor Tensor::clone() const {
  Tensor copy = uninitialized(dtype_, shape_);
  if (size_ > 0) std::memcpy(copy.data_.get(), data_.get(), nbytes());
  return copy;
}

void Tensor::Free::operator()(std::byte* memory) const {
  ::operator delete[](memory - offset, offset == 0 ? kAlignment : kPage);
}

}  // namespace petrain
