#include "projected.hpp"
#include "rules.hpp"

namespace petrain {

std::vector<std::shared_ptr<const MatrixRule>> make_matrix_rules(const std::vector<Rule>& elementwise) {
  std::vector<std::shared_ptr<const MatrixRule>> list = {matrix::make_adafactor(false), matrix::make_adafactor(true),
                                                         matrix::make_muon()};
  for (const auto make : {matrix::make_galore, matrix::make_apollo}) {
    for (std::size_t i = 0; i < elementwise.size(); ++i) {
      if (matrix::can_be_projected(elementwise[i])) list.push_back(make(elementwise[i], static_cast<int>(i)));
    }
  }
  return list;
}

}  // namespace petrain
