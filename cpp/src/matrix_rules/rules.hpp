// The classes, as make_matrix_rules puts them together.
#pragma once

#include "matrix_rule.hpp"

namespace petrain::matrix {

std::shared_ptr<const MatrixRule> make_adafactor(bool with_momentum);
std::shared_ptr<const MatrixRule> make_muon();
std::shared_ptr<const MatrixRule> make_galore(const Rule& base, int base_index);
std::shared_ptr<const MatrixRule> make_apollo(const Rule& base, int base_index);

}  // namespace petrain::matrix
