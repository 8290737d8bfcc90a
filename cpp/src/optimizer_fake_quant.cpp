// Parameters that are trained as their fake-quantized copies.
#include <algorithm>
#include <string>

#include "checks.hpp"
#include "optimizer_work.hpp"
#include "qat.hpp"
#include "quant_spec.hpp"

namespace petrain {
namespace {

// body(begin, size) for this thread's part of n elements.
template <class Body>
void for_my_elements(const Team& team, std::int64_t n, Body&& body) {
  const ChunkRange mine = team.share(n);
  body(mine.begin, mine.end - mine.begin);
}

[[noreturn]] void refuse_memory(const std::string& what, const std::string& other) {
  throw std::invalid_argument(what + ": expected memory of its own, got some of " + other);
}

[[noreturn]] void refuse_index(std::size_t index, std::size_t count) {
  throw std::out_of_range("expected a parameter from 0 to " + std::to_string(count - 1) + ", got " +
                          std::to_string(index));
}

}  // namespace

void Optimizer::attach_fake_quantize(std::size_t index, const FakeQuantized& given) {
  if (index >= params_.size()) refuse_index(index, params_.size());
  Param& param = params_[index];
  const std::string what = "parameter " + std::to_string(index);
  const Rule& rule = rule_list()[groups_[param.group].rule];
  if (rule.matrix) {
    throw std::invalid_argument(what + ": " + rule.info.name +
                                " sees it as a matrix: only rules of single elements can fake-quantize it");
  }
  if (param.view.dtype != DType::f32) {
    throw std::invalid_argument(what + ": expected dtype float32, got " + dtype_name(param.view.dtype));
  }
  FakeQuantized copy = given;
  const Shape& shape = param.view.shape;
  copy.spec = checked_spec(copy.spec, shape, what);
  if (copy.spec.scheme != Scheme::symmetric) {
    throw std::invalid_argument("scheme: expected \"symmetric\", got \"asymmetric\"");
  }
  require(copy.scale, DType::f32, scale_shape(copy.spec, shape), "scale");
  require(copy.scale_gradient, DType::f32, copy.scale.shape, "scale_gradient");
  check_fake_quant(copy, index);

  Tensor scale(DType::f32, copy.scale.shape);
  const auto format = fake_quant_format(copy.spec, shape, scale.as<float>(), nullptr);
  auto fake_quant = std::make_shared<FakeQuant>(FakeQuant{
      .copy = copy,
      .scale = std::move(scale),
      .sums = ScaleSums(format.layout, param.view.size()),
      .args = {format, copy.scale.as<float>(), copy.out.data, copy.out.dtype == DType::i8},
      .factor = lsq_factor(copy.spec, shape),
      .largest_scale = largest_scale(copy.spec),
  });
  Tensor bounded(DType::f32, copy.scale.shape);
  std::copy_n(copy.scale.as<float>(), copy.scale.size(), bounded.as<float>());
  bound_scales(bounded.view(), copy.spec);
  fake_quantize(param.view, bounded.view(), {}, copy.spec, copy.out);
  std::copy_n(bounded.as<float>(), bounded.size(), copy.scale.as<float>());
  param.fake_quant = std::move(fake_quant);
  link_fake_quants();
}

void Optimizer::detach_fake_quantize(std::size_t param) {
  if (param >= params_.size()) refuse_index(param, params_.size());
  params_[param].fake_quant.reset();
  link_fake_quants();
}

// Throws where what a step writes is something else too.
void Optimizer::check_fake_quant(const FakeQuantized& copy, std::size_t index) const {
  if (share_memory(copy.scale, copy.scale_gradient)) refuse_memory("scale_gradient", "scale");
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const Param& param = params_[i];
    const auto refuse = [&](const std::string& what) { refuse_memory(what, "parameter " + std::to_string(i)); };
    if (share_memory(copy.out, param.view)) refuse("out");
    if (share_memory(copy.scale_gradient, param.view)) refuse("scale_gradient");
    if (share_memory(copy.scale, param.view)) {
      const bool whole = param.view.data == copy.scale.data && param.view.dtype == DType::f32 &&
                         param.view.size() == copy.scale.size();
      if (!whole || i == index || param.fake_quant != nullptr) refuse("scale");
      if (rule_list()[groups_[param.group].rule].matrix) {
        throw std::invalid_argument("scale: parameter " + std::to_string(i) + " is updated by " +
                                    rule(param.group).name +
                                    ", which sees it as a matrix: only rules of single elements can");
      }
    }
    if (i == index || param.fake_quant == nullptr) continue;
    const FakeQuantized& other = param.fake_quant->copy;
    for (const TensorView& mine : {copy.out, copy.scale, copy.scale_gradient}) {
      for (const TensorView& theirs : {other.out, other.scale, other.scale_gradient}) {
        if (share_memory(mine, theirs)) refuse("out, scale and scale_gradient");
      }
    }
  }
  if (share_memory(copy.out, copy.scale) || share_memory(copy.out, copy.scale_gradient)) {
    refuse_memory("out", "scale or scale_gradient");
  }
}

void Optimizer::check_fake_quants() const {
  for (std::size_t i = 0; i < params_.size(); ++i) {
    if (params_[i].fake_quant != nullptr) check_fake_quant(params_[i].fake_quant->copy, i);
  }
}

// Finds the scales among the parameters, and what else steps write.
void Optimizer::link_fake_quants() {
  fake_memory_.clear();
  for (Param& param : params_) param.scale_of.reset();
  for (std::size_t i = 0; i < params_.size(); ++i) {
    if (params_[i].fake_quant == nullptr) continue;
    const FakeQuantized& copy = params_[i].fake_quant->copy;
    for (const TensorView& written : {copy.out, copy.scale, copy.scale_gradient}) {
      const auto* begin = written.as<std::byte>();
      fake_memory_.emplace_back(begin, begin + static_cast<std::size_t>(written.size()) * dtype_size(written.dtype));
    }
    const auto scale = std::find_if(by_address_.begin(), by_address_.end(),
                                    [&](std::size_t p) { return params_[p].view.data == copy.scale.data; });
    if (scale != by_address_.end()) params_[*scale].scale_of = i;
  }
  std::sort(fake_memory_.begin(), fake_memory_.end());
}

// Whether a step writes there for a copy.
bool Optimizer::writes_to(const ConstTensorView& grad) const {
  if (grad.data == nullptr || grad.size() == 0) return false;
  const auto* begin = grad.as<std::byte>();
  const auto* end = begin + static_cast<std::size_t>(grad.size()) * dtype_size(grad.dtype);
  const auto found = std::partition_point(fake_memory_.begin(), fake_memory_.end(),
                                          [&](const auto& memory) { return memory.second <= begin; });
  return found != fake_memory_.end() && found->first < end;
}

void Optimizer::prepare_fake_quants(Work& work, std::span<const ConstTensorView> grads,
                                    const StepOptions& options) const {
  for (std::size_t i = 0; i < params_.size() && !fake_memory_.empty(); ++i) {
    if (params_[i].scale_of) {
      work.params[i].early = true;
      const FakeQuantized& copy = params_[*params_[i].scale_of].fake_quant->copy;
      work.params[i].keeps_grad = grads[i].data == copy.scale_gradient.data;
    }
    const std::string what = "gradient " + std::to_string(i);
    if (!work.params[i].keeps_grad && writes_to(grads[i])) {
      throw std::invalid_argument(what + " shares memory with a fake-quantized copy, its scale or scale_gradient");
    }
    FakeQuant* const own = params_[i].fake_quant.get();
    if (own == nullptr) continue;
    if (!work.params[i].present || is_by_rows(options, i)) {
      throw std::invalid_argument(what + ": a parameter with a fake-quantized copy needs the whole gradient");
    }
    work.params[i].args.fake_quant = &own->args;
    work.fake_quants.push_back(own);
  }
}

void Optimizer::Work::keep_scales(const Team& team) const {
  for (FakeQuant* own : fake_quants) {
    const auto* from = own->copy.scale.as<float>();
    auto* to = own->scale.as<float>();
    for_my_elements(team, own->scale.size(), [&](std::int64_t begin, std::int64_t size) {
      for (std::int64_t i = begin; i < begin + size; ++i) to[i] = clamped_scale(from[i], own->largest_scale);
    });
  }
}

void Optimizer::Work::bound_scales(const Team& team) const {
  for (FakeQuant* own : fake_quants) {
    auto* scales = own->copy.scale.as<float>();
    for_my_elements(team, own->scale.size(), [&](std::int64_t begin, std::int64_t size) {
      for (std::int64_t i = begin; i < begin + size; ++i) scales[i] = clamped_scale(scales[i], own->largest_scale);
    });
  }
}

void Optimizer::Work::finish_scale_gradients(const Team& team) const {
  for (FakeQuant* own : fake_quants) {
    auto* gradient = own->copy.scale_gradient.as<float>();
    const double factor = own->factor * sums_scale;
    own->sums.finish(team, [&](std::int64_t i, double sum) { gradient[i] = static_cast<float>(sum * factor); });
  }
}

}  // namespace petrain
