// How errors are reported. A wrong argument is std::invalid_argument (ValueError in Python), a wrong index
// std::out_of_range (IndexError), a failed read or write petrain::IoError (OSError), all else petrain::Error.
#pragma once

#include <stdexcept>
#include <string>

namespace petrain {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class IoError : public Error {
 public:
  IoError(const std::string& message, int error_number) : Error(message), code(error_number) {}
  int code;  // errno, or 0
};

}  // namespace petrain
