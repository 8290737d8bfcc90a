// The same bytes everywhere: every operator of the exact contract (docs/numerics.md) over fixed inputs, its results
// as one hash a line. With the name of a file, compares with it and exits 1 where they differ; without, prints.
//
// To add an operator: a function that feeds its results to a Digest, in one of the files digest_*.cpp, its declaration
// in digest.hpp, a line in kOperators, and
//   build/default/tests/cpp/digest > tests/cpp/digests.txt
#include "digest.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <stdexcept>

#include "petrain/cpu.hpp"

using namespace petrain;

namespace {

using Operator = void (*)(const digests::Emit& emit);
constexpr Operator kOperators[] = {digests::update_rules,   digests::adafactor,      digests::storage,
                                   digests::accumulation,   digests::quantization,   digests::layers,
                                   digests::initial_values, digests::convolutions,   digests::quantized_formats,
                                   digests::calibration,    digests::rounding,       digests::quantized_layers,
                                   digests::recurrent,      digests::embedding_rows, digests::fake_quantization};

std::vector<std::string> all_lines() {
  std::vector<std::string> lines;
  for (const Operator run : kOperators) {
    run([&](const std::string& name, const digests::Digest& digest) {
      char hash[17];
      std::snprintf(hash, sizeof hash, "%016" PRIx64, digest.value());
      lines.push_back(name + " " + hash);
    });
  }
  return lines;
}

int compare(const std::vector<std::string>& lines, const char* path) {
  std::ifstream file(path);
  std::vector<std::string> expected;
  for (std::string line; std::getline(file, line);) expected.push_back(line);
  int differences = 0;
  for (std::size_t i = 0; i < std::max(lines.size(), expected.size()); ++i) {
    const std::string got = i < lines.size() ? lines[i] : "nothing",
                      want = i < expected.size() ? expected[i] : "nothing";
    if (got == want) continue;
    std::printf("expected %s, got %s\n", want.c_str(), got.c_str());
    ++differences;
  }
  std::printf("digest %s: %zu results, %d differ from %s\n", cpu_info().isa.c_str(), lines.size(), differences, path);
  return differences == 0 && !lines.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) try {
  set_num_threads(2);
  const std::vector<std::string> lines = all_lines();
  if (argc > 1) return compare(lines, argv[1]);
  for (const std::string& line : lines) std::puts(line.c_str());
} catch (const std::exception& error) {
  std::printf("%s\n", error.what());
  return 1;
}
