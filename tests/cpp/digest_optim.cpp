#include <utility>

#include "digest.hpp"
#include "petrain/optim.hpp"

namespace petrain::digests {
namespace {

constexpr std::size_t kSizes[] = {1, 7, 16, 67, 16385, 50000};

using Arrays = std::vector<std::vector<float>>;

Arrays arrays(Random& random, float scale) {
  Arrays result;
  for (const std::size_t size : kSizes) result.push_back(random.floats(size, scale));
  return result;
}

template <class View>
std::vector<View> views(Arrays& arrays) {
  std::vector<View> result;
  for (auto& array : arrays) {
    result.push_back({array.data(), DType::f32, {static_cast<std::int64_t>(array.size())}});
  }
  return result;
}

// Every hyperparameter away from its default; what is a flag is set.
void change_hypers(Optimizer& optimizer) {
  for (const auto& [name, value] : optimizer.rule(0).hypers) {
    try {
      optimizer.set_hyper(0, name, value == 0 ? 0.05 : value * 0.75);
    } catch (const std::invalid_argument&) {
      optimizer.set_hyper(0, name, 1);
    }
  }
}

}  // namespace

void update_rules(const Emit& emit) {
  for (const RuleInfo& rule : rules()) {
    if (rule.matrix) continue;  // of products; Adafactor, which needs none, is below
    for (const std::string variant : {"default", "changed", "clipped"}) {
      Random random(1);
      Arrays params = arrays(random, 1);
      Optimizer optimizer({{rule.name, {}, views<TensorView>(params)}});
      if (variant != "default") change_hypers(optimizer);
      Digest digest;
      for (int step = 0; step < 4; ++step) {
        Arrays grads = arrays(random, 0.1f);
        StepOptions options;
        if (variant == "clipped") options.max_norm = 0.3;
        digest.add(optimizer.step(views<ConstTensorView>(grads), options).grad_norm);
      }
      for (std::size_t i = 0; i < params.size(); ++i) {
        digest.add(params[i]);
        for (const auto& [name, view] : optimizer.state(i)) digest.add(view);
      }
      emit(rule.name + "/" + variant, digest);
    }
  }
}

void adafactor(const Emit& emit) {
  const std::vector<Shape> shapes = {{9}, {50, 70}, {3, 40, 5}, {300, 2500}};
  for (const std::string rule : {"adafactor", "adafactor_momentum"}) {
    for (const std::string variant : {"default", "changed"}) {
      Random random(6);
      Arrays params;
      std::vector<TensorView> param_views;
      for (const Shape& shape : shapes) {
        params.push_back(random.floats(static_cast<std::size_t>(element_count(shape)), 1));
        param_views.push_back({params.back().data(), DType::f32, shape});
      }
      Optimizer optimizer({{rule, {}, param_views}});
      if (variant != "default") change_hypers(optimizer);
      Digest digest;
      for (int step = 0; step < 3; ++step) {
        Arrays grads;
        std::vector<ConstTensorView> grad_views;
        for (const Shape& shape : shapes) {
          grads.push_back(random.floats(static_cast<std::size_t>(element_count(shape)), 0.1f));
          grad_views.push_back({grads.back().data(), DType::f32, shape});
        }
        digest.add(optimizer.step(grad_views, {.max_norm = 10}).grad_norm);
      }
      for (std::size_t i = 0; i < params.size(); ++i) {
        digest.add(params[i]);
        for (const auto& [name, view] : optimizer.state(i)) digest.add(view);
      }
      emit(rule + "/" + variant, digest);
    }
  }
}

// Every float type of parameter and gradient, every type of state, every rounding.
void storage(const Emit& emit) {
  constexpr DType kFloats[] = {DType::f32, DType::f64, DType::f16, DType::bf16};
  constexpr std::pair<Rounding, const char*> kRoundings[] = {{Rounding::nearest, "nearest"},
                                                             {Rounding::stochastic, "stochastic"},
                                                             {Rounding::kahan, "kahan"},
                                                             {Rounding::master, "master"}};
  const std::int64_t size = 20001;
  for (const std::string rule : {"adamw", "lion", "lamb", "rmsprop_centered_momentum"}) {
    for (const DType state : {DType::f32, DType::bf16, DType::i8}) {
      Digest digest;
      for (const DType dtype : kFloats) {
        for (const auto& [rounding, name] : kRoundings) {
          if (rounding != Rounding::nearest && dtype_size(dtype) != 2) continue;
          for (const DType grad_dtype : kFloats) {
            Random random(5);
            auto param = numbers(random, dtype, size);
            ParamGroup group{rule, {{"lr", 0.01}}, {{param.data(), dtype, {size}}}, state, rounding};
            Optimizer optimizer({group}, 7);
            for (int step = 0; step < 2; ++step) {
              const auto grad = numbers(random, grad_dtype, size);
              const std::vector<ConstTensorView> grads = {{grad.data(), grad_dtype, {size}}};
              digest.add(optimizer.step(grads, {.grad_scale = 3, .max_value = 0.3}).grad_norm);
            }
            digest.add(param);
            for (const auto& [tensor, view] : optimizer.state(0)) digest.add(view);
          }
        }
      }
      emit("storage/" + rule + " states " + dtype_name(state), digest);
    }
  }
}

void accumulation(const Emit& emit) {
  for (const auto& [name, dtype] :
       {std::pair{"accumulate", DType::f32}, {"accumulate bfloat16", DType::bf16}, {"accumulate int8", DType::i8}}) {
    Random random(2);
    Arrays params = arrays(random, 1);
    std::vector<Shape> shapes;
    for (const auto& param : params) shapes.push_back({static_cast<std::int64_t>(param.size())});
    GradAccumulator accumulator(shapes, dtype);
    Optimizer optimizer({{"sgd", {{"lr", 0.3}}, views<TensorView>(params)}});
    for (const double weight : {32.0, 7.0, 0.125}) {
      Arrays grads = arrays(random, 0.1f);
      accumulator.add(views<ConstTensorView>(grads), weight);
    }
    Digest mean, step;
    for (const Tensor& tensor : accumulator.mean()) mean.add(tensor.view());
    emit(std::string(name) + "/mean", mean);
    step.add(optimizer.step(accumulator, {.max_norm = 0.3}).grad_norm);
    for (const auto& param : params) step.add(param);
    emit(std::string(name) + "/step", step);
  }
}

}  // namespace petrain::digests
