// Streams, events, captured graphs.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "cudart/Call.h"

using namespace nibble::cuda;

NIBBLE_CUDART(cudaStreamCreate, (CUstream * stream),
              cuStreamCreate(stream, CU_STREAM_DEFAULT))
NIBBLE_CUDART(cudaStreamCreateWithFlags, (CUstream * stream, unsigned flags),
              cuStreamCreate(stream, flags))
NIBBLE_CUDART(cudaStreamCreateWithPriority,
              (CUstream * stream, unsigned flags, int priority),
              cuStreamCreateWithPriority(stream, flags, priority))
NIBBLE_CUDART(cudaStreamDestroy, (CUstream stream), cuStreamDestroy_v2(stream))
NIBBLE_CUDART(cudaStreamSynchronize, (CUstream stream),
              cuStreamSynchronize(stream))
NIBBLE_CUDART(cudaStreamQuery, (CUstream stream), cuStreamQuery(stream))
NIBBLE_CUDART(cudaStreamWaitEvent,
              (CUstream stream, CUevent event, unsigned flags),
              cuStreamWaitEvent(stream, event, flags))
NIBBLE_CUDART(cudaStreamGetFlags, (CUstream stream, unsigned *flags),
              cuStreamGetFlags(stream, flags))
NIBBLE_CUDART(cudaStreamGetPriority, (CUstream stream, int *priority),
              cuStreamGetPriority(stream, priority))
NIBBLE_CUDART(cudaStreamBeginCapture,
              (CUstream stream, CUstreamCaptureMode mode),
              cuStreamBeginCapture_v2(stream, mode))
NIBBLE_CUDART(cudaStreamEndCapture, (CUstream stream, CUgraph *graph),
              cuStreamEndCapture(stream, graph))
NIBBLE_CUDART(cudaStreamIsCapturing,
              (CUstream stream, CUstreamCaptureStatus *status),
              cuStreamIsCapturing(stream, status))

NIBBLE_CUDART(cudaEventCreate, (CUevent * event),
              cuEventCreate(event, CU_EVENT_DEFAULT))
NIBBLE_CUDART(cudaEventCreateWithFlags, (CUevent * event, unsigned flags),
              cuEventCreate(event, flags))
NIBBLE_CUDART(cudaEventRecord, (CUevent event, CUstream stream),
              cuEventRecord(event, stream))
NIBBLE_CUDART(cudaEventRecordWithFlags,
              (CUevent event, CUstream stream, unsigned flags),
              cuEventRecordWithFlags(event, stream, flags))
NIBBLE_CUDART(cudaEventSynchronize, (CUevent event), cuEventSynchronize(event))
NIBBLE_CUDART(cudaEventQuery, (CUevent event), cuEventQuery(event))
NIBBLE_CUDART(cudaEventElapsedTime,
              (float *milliseconds, CUevent start, CUevent end),
              cuEventElapsedTime_v2(milliseconds, start, end))
NIBBLE_CUDART(cudaEventDestroy, (CUevent event), cuEventDestroy_v2(event))

NIBBLE_CUDART(cudaGraphInstantiate,
              (CUgraphExec * exec, CUgraph graph, unsigned long long flags),
              cuGraphInstantiateWithFlags(exec, graph, flags))
NIBBLE_CUDART(cudaGraphUpload, (CUgraphExec exec, CUstream stream),
              cuGraphUpload(exec, stream))
NIBBLE_CUDART(cudaGraphLaunch, (CUgraphExec exec, CUstream stream),
              cuGraphLaunch(exec, stream))
NIBBLE_CUDART(cudaGraphExecDestroy, (CUgraphExec exec),
              cuGraphExecDestroy(exec))
NIBBLE_CUDART(cudaGraphDestroy, (CUgraph graph), cuGraphDestroy(graph))
