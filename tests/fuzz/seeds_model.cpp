// Writes the seeds of fuzz_model to the folder that is its argument: one small model for each form of weight.
#include <cstdio>
#include <string>

#include "petrain/model.hpp"

using namespace petrain;

namespace {

std::shared_ptr<Weight> dense(std::int64_t out_features, std::int64_t in_features) {
  Tensor values(DType::f32, {out_features, in_features});
  init_weight(values.view(), Init::he_normal, 1);
  return std::make_shared<DenseWeight>(std::move(values));
}

std::shared_ptr<QuantWeight> int8(std::int64_t out_features, std::int64_t in_features) {
  const Tensor values = dense(out_features, in_features)->dense();
  return std::make_shared<QuantWeight>(std::make_shared<QuantTensor>(quantize(values.view())));
}

void write(const std::string& path, std::shared_ptr<Weight> weight) {
  Tensor bias(DType::f32, {weight->out_features()});
  std::vector<std::shared_ptr<Layer>> layers = {std::make_shared<Linear>(std::move(weight), std::move(bias)),
                                                std::make_shared<ReLU>()};
  save_model(Sequential(std::move(layers)), path);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: seeds_model FOLDER\n"), 2;
  const std::string folder = std::string(argv[1]) + "/";
  write(folder + "dense", dense(3, 2));
  write(folder + "int8", int8(2, 3));
  write(folder + "low_rank", std::make_shared<LowRankWeight>(dense(3, 1), dense(1, 4)));
  write(folder + "low_rank_int8", std::make_shared<LowRankWeight>(int8(3, 1), int8(1, 4)));
  write(folder + "residual", std::make_shared<ResidualWeight>(int8(3, 4), int8(3, 1), int8(1, 4)));
  return 0;
}
