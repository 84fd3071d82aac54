#include "results.hpp"

#include <cmath>
#include <stdexcept>

namespace bench {
namespace {

std::string quoted(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') json += '\\';
    if (static_cast<unsigned char>(c) < 0x20)
      json += ' ';
    else
      json += c;
  }
  return json + '"';
}

std::string number(double value) {
  return std::isfinite(value) ? fmt::format("{:.6g}", value) : "null";
}

std::string readable(double value, std::string_view unit) {
  if (!std::isfinite(value)) return "none";
  const double size = std::abs(value);
  const std::string digits = size >= 1000  ? fmt::format("{:.0f}", value)
                             : size >= 100 ? fmt::format("{:.1f}", value)
                             : size >= 10  ? fmt::format("{:.2f}", value)
                                           : fmt::format("{:.3f}", value);
  return unit.empty() ? digits : fmt::format("{} {}", digits, unit);
}

}  // namespace

Results::Results(const std::string& path) : file_(std::fopen(path.c_str(), "a")) {
  if (file_ == nullptr)
    throw std::runtime_error(fmt::format("cannot write results to \"{}\"", path));
}

Results::~Results() { std::fclose(file_); }

void Results::at_most(std::string_view what, double value, double limit, std::string_view unit,
                      std::string_view beside) {
  const bool met = value <= limit;
  all_met_ = all_met_ && met;
  figure(what, readable(value, unit), "at most " + readable(limit, unit), met ? "met" : "missed",
         beside);
}

void Results::at_least(std::string_view what, double value, double limit, std::string_view unit,
                       std::string_view beside) {
  const bool met = value >= limit;
  all_met_ = all_met_ && met;
  figure(what, readable(value, unit), "at least " + readable(limit, unit), met ? "met" : "missed",
         beside);
}

void Results::holds(std::string_view what, bool true_now, std::string_view beside) {
  all_met_ = all_met_ && true_now;
  figure(what, true_now ? "yes" : "no", "yes", true_now ? "met" : "missed", beside);
}

void Results::shown(std::string_view what, double value, std::string_view unit,
                    std::string_view beside) {
  figure(what, readable(value, unit), "", "shown", beside);
}

void Results::point(std::string_view plot, const std::vector<Text>& texts,
                    const std::vector<Number>& numbers) {
  std::string line = fmt::format("{{\"plot\":{}", quoted(plot));
  for (const auto& [name, value] : texts) line += fmt::format(",\"{}\":{}", name, quoted(value));
  for (const auto& [name, value] : numbers) line += fmt::format(",\"{}\":{}", name, number(value));
  write(line + "}");
}

void Results::figure(std::string_view what, std::string_view value, std::string_view limit,
                     std::string_view verdict, std::string_view beside) {
  fmt::print("{:<17} {:<6} {} = {}{}{}{}\n", row_, verdict, what, value,
             limit.empty() ? "" : fmt::format(" ({})", limit), beside.empty() ? "" : "; ", beside);
  std::fflush(stdout);
  write(fmt::format(
      "{{\"row\":{},\"what\":{},\"value\":{},\"limit\":{},\"verdict\":{},"
      "\"beside\":{}}}",
      quoted(row_), quoted(what), quoted(value), quoted(limit), quoted(verdict), quoted(beside)));
}

void Results::write(const std::string& line) {
  fmt::print(file_, "{}\n", line);
  std::fflush(file_);
}

}  // namespace bench
