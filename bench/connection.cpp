#include "connection.hpp"

#include <stdexcept>

namespace bench {

Result::Result(PGresult* result) : result_(result) {
  const ExecStatusType status = PQresultStatus(result);
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
    throw std::runtime_error(result == nullptr ? "out of memory in libpq"
                                               : PQresultErrorMessage(result));
}

std::string Result::column_as_array(int column) const {
  std::string array = "{";
  for (int row = 0; row < rows(); ++row) {
    if (row > 0) array += ',';
    array += raw(row, column);
  }
  array += '}';
  return array;
}

Connection::Connection() : connection_(PQconnectdb("application_name=durable_work_bench")) {
  if (PQstatus(get()) != CONNECTION_OK) throw std::runtime_error(PQerrorMessage(get()));
  script("SET client_min_messages = warning");
}

void Connection::script(const std::string& sql) { Result(PQexec(get(), sql.c_str())); }

void Connection::prepare(const char* name, const std::string& sql) {
  Result(PQprepare(get(), name, sql.c_str(), 0, nullptr));
}

Result Connection::run_pipeline(const char* first, const char* second, int count,
                                const char* const* values) {
  const auto require = [this](int good) {
    if (good != 1) throw std::runtime_error(PQerrorMessage(get()));
  };
  require(PQenterPipelineMode(get()));
  require(PQsendQueryPrepared(get(), first, 0, nullptr, nullptr, nullptr, 0));
  require(PQsendQueryPrepared(get(), second, count, values, nullptr, nullptr, 0));
  require(PQpipelineSync(get()));
  const Result nothing(PQgetResult(get()));
  PQgetResult(get());  // the null that ends each statement's results
  Result result(PQgetResult(get()));
  PQgetResult(get());
  PQclear(PQgetResult(get()));  // the Sync
  require(PQexitPipelineMode(get()));
  return result;
}

}  // namespace bench
