#include <algorithm>
#include <cmath>
#include <utility>

#include "checks.hpp"
#include "isa.hpp"
#include "petrain/quant.hpp"
#include "quant_checks.hpp"
#include "quant_spec.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kBlock = 4096;

void require_integer(int value, kernels::Limits limits, std::int64_t index, const std::string& what,
                     const QuantSpec& spec) {
  if (value >= limits.least && value <= limits.most) return;
  throw std::invalid_argument(what + ": expected " + std::to_string(limits.least) + " to " +
                              std::to_string(limits.most) + ", as the format is int" + std::to_string(spec.bits) +
                              ", " + scheme_name(spec.scheme) + ", got " + std::to_string(value) + " at element " +
                              std::to_string(index));
}

void require_integers(const std::int8_t* values, std::int64_t size, const std::string& what, const QuantSpec& spec,
                      std::int64_t first = 0) {
  const kernels::Limits limits = limits_of(spec);
  int least = 0, most = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    least = std::min<int>(least, values[i]);
    most = std::max<int>(most, values[i]);
  }
  if (least >= limits.least && most <= limits.most) return;
  for (std::int64_t i = 0; i < size; ++i) require_integer(values[i], limits, first + i, what, spec);
}

bool is_none(const Tensor& part) { return part.empty() && part.shape().empty(); }  // an empty array has a shape

std::string part_text(const Tensor& part) { return is_none(part) ? "none" : "shape " + shape_text(part.shape()); }

// As require, also of a part that is not there.
void require_part(const Tensor& part, DType dtype, const Shape& shape, const std::string& what) {
  if (part.empty()) {
    throw std::invalid_argument(what + ": expected shape " + shape_text(shape) + ", got " + part_text(part));
  }
  require(part.view(), dtype, shape, what);
}

// What no byte can violate is not looked for.
void require_stored_integers(const QuantTensor& q) {
  const std::int64_t size = element_count(q.shape);
  if (q.spec.bits == 4 && size % 2 != 0) {
    if (const int rest = q.values.as<std::uint8_t>()[size / 2] >> 4; rest != 0) {
      throw std::invalid_argument("values: expected 0 in the 4 bits after the last element, got " +
                                  std::to_string(rest));
    }
  }
  if (q.spec.scheme == Scheme::asymmetric) return;
  std::int8_t block[kBlock];
  for (std::int64_t first = 0; first < size; first += kBlock) {
    const std::int64_t count = std::min(kBlock, size - first);
    unpack(q, first, count, block);
    require_integers(block, count, "values", q.spec, first);
  }
}

}  // namespace

QuantTensor::QuantTensor(Tensor values_in, Tensor scale_in, Tensor zero_point_in, const QuantSpec& spec_in,
                         Shape shape_in)
    : values(std::move(values_in)),
      scale(std::move(scale_in)),
      zero_point(std::move(zero_point_in)),
      shape(std::move(shape_in)),
      spec(spec_in) {
  spec = checked_spec(spec, shape, "values");
  validate();
  require_stored_integers(*this);
}

QuantTensor::QuantTensor(Tensor values_in, Tensor scale_in, Tensor zero_point_in, const QuantSpec& spec_in) {
  Shape its_shape = values_in.shape();
  *this =
      QuantTensor(std::move(values_in), std::move(scale_in), std::move(zero_point_in), spec_in, std::move(its_shape));
}

QuantTensor QuantTensor::from_integers(const ConstTensorView& integers, Tensor scale, Tensor zero_point,
                                       const QuantSpec& spec) {
  require_dtype(integers, DType::i8, "values");
  const QuantSpec checked = checked_spec(spec, integers.shape, "values");
  const std::int64_t size = integers.size();
  require_integers(integers.as<std::int8_t>(), size, "values", checked);
  Tensor stored = Tensor::uninitialized(stored_dtype(checked), stored_shape(checked, integers.shape));
  if (checked.bits == 8) {
    std::copy_n(integers.as<std::int8_t>(), size, stored.as<std::int8_t>());
  } else {
    active_kernels().quant_format->pack4(integers.as<std::int8_t>(), stored.as<std::uint8_t>(), size);
  }
  return {std::move(stored), std::move(scale), std::move(zero_point), checked, integers.shape};
}

QuantTensor QuantTensor::clone() const {
  QuantTensor copy;
  copy.values = values.clone();
  copy.scale = scale.clone();
  if (!zero_point.empty()) copy.zero_point = zero_point.clone();
  copy.shape = shape;
  copy.spec = spec;
  return copy;
}

void require_parts(const QuantTensor& q) {
  const QuantSpec checked = checked_spec(q.spec, q.shape, "values");
  if (checked.axis != q.spec.axis) {
    throw std::out_of_range("axis: expected " + std::to_string(checked.axis) + ", got " + std::to_string(q.spec.axis));
  }
  const Shape scales = scale_shape(checked, q.shape);
  require_part(q.values, stored_dtype(checked), stored_shape(checked, q.shape), "values");
  require_part(q.scale, DType::f32, scales, "scale");
  if (checked.scheme == Scheme::asymmetric) {
    require_part(q.zero_point, DType::i8, scales, "zero_point");
  } else if (!is_none(q.zero_point)) {
    throw std::invalid_argument("zero_point: expected none, as the scheme is symmetric, got " +
                                part_text(q.zero_point));
  }
}

void QuantTensor::validate() const {
  require_parts(*this);
  for (std::int64_t i = 0; i < scale.size(); ++i) {
    const float s = scale.as<float>()[i];
    if (!(s > 0) || !std::isfinite(s)) {
      throw std::invalid_argument("scale: expected positive, finite values, got " + number_text(s) + " at element " +
                                  std::to_string(i));
    }
  }
  if (spec.scheme == Scheme::asymmetric)
    require_integers(zero_point.as<std::int8_t>(), zero_point.size(), "zero_point", spec);
}

void unpack(const QuantTensor& q, std::int64_t first, std::int64_t count, std::int8_t* to) {
  const std::int64_t size = element_count(q.shape);
  if (first < 0 || count < 0 || first > size || count > size - first) {
    throw std::out_of_range("expected elements within the " + std::to_string(size) + " of shape " +
                            shape_text(q.shape) + ", got " + std::to_string(count) + " from " + std::to_string(first));
  }
  if (q.spec.bits == 8) {
    std::copy_n(q.values.as<std::int8_t>() + first, count, to);
    return;
  }
  const auto& kernels = *active_kernels().quant_format;
  const auto* bytes = q.values.as<std::uint8_t>() + first / 2;
  if (first % 2 != 0 && count > 0) {
    std::int8_t pair[2];
    kernels.unpack4(bytes++, pair, 2);
    *to++ = pair[1];
    --count;
  }
  kernels.unpack4(bytes, to, count);
}

}  // namespace petrain
