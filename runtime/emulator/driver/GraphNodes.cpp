// Nodes that a program adds to a graph.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "device/cuda/DriverAbi.h"
#include "driver/Graphs.h"

using namespace nibble::cuda;
using namespace nibble::emu;

/// Appends a node that `makeWork` fills.
template <typename MakeWork>
static CUresult addNode(const char *name, CUgraphNode *out, CUgraph handle,
                        const CUgraphNode *after, size_t count,
                        MakeWork makeWork) {
  return withGraph(name, handle, out && (after || !count),
                   [&](Driver &driver, Graph &graph) {
                     auto node = std::make_shared<Node>();
                     node->graph = &graph;
                     for (size_t i = 0; i < count; ++i) {
                       auto before = driver.nodes.find(after[i]);
                       if (!before || before->graph != &graph)
                         return refuse(
                             CUDA_ERROR_INVALID_VALUE,
                             std::string(name) +
                                 ": a dependency is no node of the graph");
                       node->after.insert(before.get());
                     }
                     if (CUresult wrong = makeWork(driver, node->work))
                       return wrong;
                     graph.nodes.push_back(node);
                     driver.nodes.put(std::move(node), out);
                     return CUDA_SUCCESS;
                   });
}

CUresult nibble::cuda::cuGraphAddEmptyNode(CUgraphNode *out, CUgraph graph,
                                           const CUgraphNode *after,
                                           size_t count) {
  return addNode("cuGraphAddEmptyNode", out, graph, after, count,
                 [&](Driver &, Work &) { return CUDA_SUCCESS; });
}

CUresult
nibble::cuda::cuGraphAddKernelNode_v2(CUgraphNode *out, CUgraph graph,
                                      const CUgraphNode *after, size_t count,
                                      const CUDA_KERNEL_NODE_PARAMS *p) {
  return addNode(
      "cuGraphAddKernelNode", out, graph, after, count,
      [&](Driver &driver, Work &work) {
        if (!p)
          return refuse(CUDA_ERROR_INVALID_VALUE,
                        "cuGraphAddKernelNode: no parameters");
        CUlaunchConfig config = {p->gridDimX,       p->gridDimY,
                                 p->gridDimZ,       p->blockDimX,
                                 p->blockDimY,      p->blockDimZ,
                                 p->sharedMemBytes, nullptr,
                                 nullptr,           0};
        CUfunction function =
            p->func ? p->func : reinterpret_cast<CUfunction>(p->kern);
        return prepareLaunch(driver, function, config, p->kernelParams,
                             p->extra, work.emplace<KernelWork>());
      });
}

static CUresult makeCopy(const Driver &driver, const CUDA_MEMCPY3D &c,
                         CopyWork &copy) {
  copy.width = c.WidthInBytes;
  copy.height = c.Height;
  copy.depth = c.Depth;
  uint64_t fromSlice = c.srcPitch * c.srcHeight,
           toSlice = c.dstPitch * c.dstHeight;
  bool known =
      makeSide(driver, c.srcMemoryType, c.srcHost, c.srcDevice,
               c.srcZ * fromSlice + c.srcY * c.srcPitch + c.srcXInBytes,
               c.srcPitch, copy.from) &&
      makeSide(driver, c.dstMemoryType, c.dstHost, c.dstDevice,
               c.dstZ * toSlice + c.dstY * c.dstPitch + c.dstXInBytes,
               c.dstPitch, copy.to);
  copy.from.slice = fromSlice;
  copy.to.slice = toSlice;
  if (!known || c.srcLOD || c.dstLOD)
    return refuse(CUDA_ERROR_INVALID_VALUE,
                  "cuGraphAddMemcpyNode: arrays are not emulated");
  std::string wrong = checkWork(driver, copy);
  return wrong.empty() ? CUDA_SUCCESS
                       : refuse(CUDA_ERROR_INVALID_VALUE,
                                "cuGraphAddMemcpyNode: " + wrong);
}

static CUresult checkNodeContext(Driver &driver, CUcontext context) {
  return driver.contexts.find(context)
             ? CUDA_SUCCESS
             : refuse(CUDA_ERROR_INVALID_VALUE, "a node needs a context");
}

CUresult nibble::cuda::cuGraphAddMemcpyNode(CUgraphNode *out, CUgraph graph,
                                            const CUgraphNode *after,
                                            size_t count,
                                            const CUDA_MEMCPY3D *copy,
                                            CUcontext context) {
  return addNode("cuGraphAddMemcpyNode", out, graph, after, count,
                 [&](Driver &driver, Work &work) {
                   if (CUresult wrong = checkNodeContext(driver, context))
                     return wrong;
                   return copy ? makeCopy(driver, *copy,
                                          work.emplace<CopyWork>())
                               : refuse(CUDA_ERROR_INVALID_VALUE,
                                        "cuGraphAddMemcpyNode: no copy");
                 });
}

CUresult nibble::cuda::cuGraphAddMemsetNode(CUgraphNode *out, CUgraph graph,
                                            const CUgraphNode *after,
                                            size_t count,
                                            const CUDA_MEMSET_NODE_PARAMS *p,
                                            CUcontext context) {
  return addNode("cuGraphAddMemsetNode", out, graph, after, count,
                 [&](Driver &driver, Work &work) {
                   if (CUresult wrong = checkNodeContext(driver, context))
                     return wrong;
                   if (!p)
                     return refuse(CUDA_ERROR_INVALID_VALUE,
                                   "cuGraphAddMemsetNode: no parameters");
                   FillWork fill = {p->dst,         p->pitch, p->value,
                                    p->elementSize, p->width, p->height};
                   work = fill;
                   std::string wrong = checkWork(driver, fill);
                   return wrong.empty()
                              ? CUDA_SUCCESS
                              : refuse(CUDA_ERROR_INVALID_VALUE,
                                       "cuGraphAddMemsetNode: " + wrong);
                 });
}
