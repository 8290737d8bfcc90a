// The formats of quantized arrays through the C++ interface. The Python tests compare them with a reference.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "check.hpp"
#include "folder.hpp"
#include "petrain/cpu.hpp"
#include "petrain/error.hpp"
#include "petrain/quant_file.hpp"
#include "petrain/safetensors.hpp"

using namespace petrain;

namespace {

Tensor random_floats(Shape shape, unsigned seed) {
  Tensor tensor(DType::f32, std::move(shape));
  std::mt19937 random(seed);
  for (std::int64_t i = 0; i < tensor.size(); ++i) {
    tensor.as<float>()[i] = static_cast<float>(random() >> 8) * 0x1p-23F - 0.75F;
  }
  return tensor;
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.empty() == b.empty() && a.shape() == b.shape() &&
         (a.empty() || std::memcmp(a.as<std::byte>(), b.as<std::byte>(), a.nbytes()) == 0);
}

bool same(const QuantTensor& a, const QuantTensor& b) {
  return a.spec == b.spec && a.shape == b.shape && same_bytes(a.values, b.values) && same_bytes(a.scale, b.scale) &&
         same_bytes(a.zero_point, b.zero_point);
}

// Every format that fits a shape.
std::vector<QuantSpec> specs_for(const Shape& shape) {
  std::vector<QuantSpec> specs;
  for (const int bits : {8, 4}) {
    for (const Scheme scheme : {Scheme::symmetric, Scheme::asymmetric}) {
      specs.push_back({bits, scheme, Granularity::tensor});
      for (int axis = 0; axis < static_cast<int>(shape.size()); ++axis) {
        specs.push_back({bits, scheme, Granularity::channel, axis});
        for (const std::int64_t group : {32, 64, 128}) {
          if (element_count(shape) / shape[static_cast<std::size_t>(axis)] % group == 0) {
            specs.push_back({bits, scheme, Granularity::group, axis, group});
          }
        }
      }
    }
  }
  return specs;
}

// The place of an element's scale among those that are stored, as the header's text has it.
std::int64_t scale_index(const QuantTensor& q, std::int64_t element) {
  if (q.spec.granularity == Granularity::tensor) return 0;
  std::int64_t channel = 0, rest = 0, stride = element_count(q.shape);
  for (std::size_t d = 0; d < q.shape.size(); ++d) {
    stride /= q.shape[d];
    const std::int64_t at = element / stride % q.shape[d];
    if (static_cast<int>(d) == q.spec.axis) {
      channel = at;
    } else {
      rest = rest * q.shape[d] + at;
    }
  }
  if (q.spec.granularity == Granularity::channel) return channel;
  return channel * q.scale.shape()[1] + rest / q.spec.group_size;
}

}  // namespace

TEST(dequantized_is_within_half_a_scale) {
  for (const Shape& shape : {Shape{40, 384}, {384, 40}, {3, 128, 70}, {9001}}) {
    const Tensor w = random_floats(shape, 1);
    for (const QuantSpec& spec : specs_for(shape)) {
      const QuantTensor q = quantize(w.view(), spec);
      const Tensor back = dequantize(q);
      std::vector<std::int8_t> integers(static_cast<std::size_t>(w.size()));
      unpack(q, 0, w.size(), integers.data());
      bool near = true, formula = true;
      for (std::int64_t i = 0; i < w.size(); ++i) {
        const std::int64_t at = scale_index(q, i);
        const float scale = q.scale.as<float>()[at];
        const int zero = q.zero_point.empty() ? 0 : q.zero_point.as<std::int8_t>()[at];
        const float number = back.as<float>()[i];
        near = near && std::fabs(number - w.as<float>()[i]) <= 0.50001F * scale;
        formula = formula && number == static_cast<float>(integers[static_cast<std::size_t>(i)] - zero) * scale;
      }
      CHECK(near);
      CHECK(formula);
    }
  }
}

TEST(formats_do_not_depend_on_the_thread_count) {
  const Tensor w = random_floats({160, 5, 128}, 2);
  for (const QuantSpec& spec : specs_for(w.shape())) {
    set_num_threads(1);
    const QuantTensor q = quantize(w.view(), spec);
    const Tensor back = dequantize(q, DType::bf16);
    for (const int threads : {2, 3, 7}) {
      set_num_threads(threads);
      CHECK(same(quantize(w.view(), spec), q));
      CHECK(same_bytes(dequantize(q, DType::bf16), back));
    }
  }
}

TEST(any_elements_are_unpacked) {
  for (const int bits : {8, 4}) {
    const QuantTensor q = quantize(random_floats({5, 27}, 3).view(), {.bits = bits});
    std::vector<std::int8_t> all(135);
    unpack(q, 0, 135, all.data());
    for (std::int64_t first = 0; first <= 135; ++first) {
      for (std::int64_t count = 0; first + count <= 135; ++count) {
        std::vector<std::int8_t> part(static_cast<std::size_t>(count) + 1, 99);
        unpack(q, first, count, part.data());
        CHECK(std::equal(part.begin(), part.end() - 1, all.begin() + first) && part.back() == 99);
      }
    }
    CHECK_THROWS(std::out_of_range, "within the 135 of shape (5, 27), got 2 from 134", unpack(q, 134, 2, all.data()));
    CHECK_THROWS(std::out_of_range, "got 1 from -1", unpack(q, -1, 1, all.data()));
  }
}

TEST(parts_are_checked) {
  const Tensor w = random_floats({2, 3}, 4);
  QuantTensor q = quantize(w.view(), {.bits = 4, .scheme = Scheme::asymmetric});
  CHECK(same(q.clone(), q));
  CHECK_THROWS(std::invalid_argument, "zero_point: expected none, as the scheme is symmetric, got shape (2,)",
               QuantTensor(q.values.clone(), q.scale.clone(), q.zero_point.clone(), {.bits = 4}, {2, 3}));
  CHECK_THROWS(std::invalid_argument, "zero_point: expected shape (2,), got none",
               QuantTensor(q.values.clone(), q.scale.clone(), {}, q.spec, {2, 3}));
  CHECK_THROWS(std::invalid_argument, "values: expected shape (4,), got (3,)",
               QuantTensor(q.values.clone(), q.scale.clone(), q.zero_point.clone(), q.spec, {2, 4}));
  CHECK_THROWS(std::invalid_argument, "result: expected dtype float32, float16 or bfloat16, got float64",
               dequantize(q, DType::f64));
  q.zero_point.as<std::int8_t>()[1] = 8;
  CHECK_THROWS(std::invalid_argument, "zero_point: expected -8 to 7, as the format is int4, asymmetric, got 8",
               dequantize(q));
  CHECK(spec_text({4, Scheme::asymmetric, Granularity::group, 1, 32}) ==
        "int4, asymmetric, per group of 32 along axis 1");
  CHECK(spec_text({8, Scheme::symmetric, Granularity::tensor}) == "int8, symmetric, per tensor");
}

TEST(arrays_are_saved_and_loaded) {
  const Folder folder;
  const std::string path = folder / "quant.safetensors";
  const Tensor w = random_floats({64, 33}, 5);
  std::map<std::string, QuantTensor> arrays;
  std::map<std::string, const QuantTensor*> pointers;
  for (const QuantSpec& spec : specs_for(w.shape())) arrays.emplace(spec_text(spec), quantize(w.view(), spec));
  for (const auto& [name, array] : arrays) pointers[name] = &array;
  save_quant(path, pointers);
  const auto loaded = load_quant(path);
  CHECK(loaded.size() == arrays.size());
  for (const auto& [name, array] : arrays) CHECK(loaded.count(name) == 1 && same(loaded.at(name), array));
  write_safetensors(path, {}, {});
  CHECK_THROWS(Error, "not a file of quantized arrays: it has no \"petrain.quant\" in its metadata", load_quant(path));
}
