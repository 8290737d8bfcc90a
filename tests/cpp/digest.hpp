// What the files digest_*.cpp share: hashes, and inputs that are the same on every machine.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "petrain/quant.hpp"

namespace petrain::digests {

// FNV-1a, 64 bits, over the bytes of numbers in little-endian order.
class Digest {
 public:
  template <class T>
  void add(std::span<const T> values) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
    for (std::size_t i = 0; i < values.size_bytes(); ++i) hash_ = (hash_ ^ bytes[i]) * 0x100000001b3;
  }
  template <class T>
  void add(const std::vector<T>& values) {
    add(std::span<const T>(values));
  }
  void add(double value) { add(std::span<const double>(&value, 1)); }
  void add(const ConstTensorView& view) {
    add(std::span<const unsigned char>(view.as<unsigned char>(),
                                       static_cast<std::size_t>(view.size()) * dtype_size(view.dtype)));
  }
  std::uint64_t value() const { return hash_; }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325;
};

// splitmix64 (Steele, Lea, Flood, OOPSLA 2014): integers alone, so that the inputs are the same everywhere too.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // In (-1, 1), about one in 16 of them zero.
  std::vector<float> floats(std::size_t size, float scale = 1) {
    std::vector<float> values(size);
    for (float& value : values) {
      const std::uint64_t bits = next();
      value = bits % 16 == 0 ? 0 : scale * static_cast<float>(static_cast<std::int32_t>(bits >> 32)) * 0x1p-31f;
    }
    return values;
  }

 private:
  std::uint64_t state_;
};

// Numbers from a half to one, of either sign, of any float type, as bytes.
inline std::vector<unsigned char> numbers(Random& random, DType dtype, std::size_t size) {
  std::vector<unsigned char> bytes(size * dtype_size(dtype));
  for (std::size_t i = 0; i < size; ++i) {
    const std::uint64_t bits = random.next();
    const std::uint16_t half = static_cast<std::uint16_t>((bits & 0x83ff) | 0x3800);
    const std::uint16_t brain = static_cast<std::uint16_t>((bits & 0x807f) | 0x3f00);
    const double wide = (bits % 2 ? 1 : -1) * (0.5 + static_cast<double>(bits >> 12) * 0x1p-53);
    const float narrow = static_cast<float>(wide);
    unsigned char* to = bytes.data() + i * dtype_size(dtype);
    if (dtype == DType::f16) std::memcpy(to, &half, 2);
    if (dtype == DType::bf16) std::memcpy(to, &brain, 2);
    if (dtype == DType::f32) std::memcpy(to, &narrow, 4);
    if (dtype == DType::f64) std::memcpy(to, &wide, 8);
  }
  return bytes;
}

inline QuantTensor quantized(Random& random, std::int64_t rows, std::int64_t columns, const QuantSpec& spec) {
  const std::vector<float> w = random.floats(static_cast<std::size_t>(rows * columns), 1);
  return quantize({w.data(), DType::f32, {rows, columns}}, spec);
}

using Emit = std::function<void(const std::string& name, const Digest& digest)>;

// digest_optim.cpp
void update_rules(const Emit& emit);
void adafactor(const Emit& emit);
void storage(const Emit& emit);
void accumulation(const Emit& emit);
// digest_distill.cpp
void distillation_losses(const Emit& emit);
// digest_nn.cpp
void layers(const Emit& emit);
void initial_values(const Emit& emit);
// digest_prune.cpp
void pruning(const Emit& emit);
// digest_sparse.cpp
void sparse_layers(const Emit& emit);
// digest_knapsack.cpp
void plans(const Emit& emit);
// digest_quant.cpp
void quantization(const Emit& emit);
void quantized_formats(const Emit& emit);
void embedding_rows(const Emit& emit);
void fake_quantization(const Emit& emit);
// digest_quant_layers.cpp
void quantized_layers(const Emit& emit);
void convolutions(const Emit& emit);
void recurrent(const Emit& emit);
// digest_calibrate.cpp
void calibration(const Emit& emit);
void rounding(const Emit& emit);

}  // namespace petrain::digests
